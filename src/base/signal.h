/* Ctrl-C, once and twice.
 *
 * Long work asks lm_interrupted() between steps: once asked to stop it finishes the step, writes its
 * checkpoint and ends with LM_E_INTERRUPT.  Who asks a second time wants it to end at once: the
 * signal then does what it does by default. */
#ifndef LM_BASE_SIGNAL_H
#define LM_BASE_SIGNAL_H

/* From here on SIGINT and SIGTERM are counted.  A signal that is ignored (nohup) stays ignored;
 * calls of the system are restarted, not cut short. */
void lm_interrupt_watch(void);

/* How often the user has asked to stop: 0, or 1. */
int lm_interrupted(void);

/* Forgets the request, for an answer in a chat that was stopped while the chat goes on. */
void lm_interrupt_clear(void);

#endif
