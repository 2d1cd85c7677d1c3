#define _GNU_SOURCE
#include "base/signal.h"

#include <signal.h>
#include <stddef.h>

static volatile sig_atomic_t asked;

static void count(int signal_number)
{
    if (++asked < 2) return;
    signal(signal_number, SIG_DFL);
    raise(signal_number);              /* delivered when this handler returns */
}

void lm_interrupt_watch(void)
{
    static const int signals[] = { SIGINT, SIGTERM };
    struct sigaction action = { .sa_handler = count, .sa_flags = SA_RESTART }, before;
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        if (sigaction(signals[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
            sigaction(signals[i], &action, NULL);
}

int lm_interrupted(void)
{
    return asked;
}

void lm_interrupt_clear(void)
{
    asked = 0;
}
