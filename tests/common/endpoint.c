#define _GNU_SOURCE                                          /* strcasestr */
#include "common/endpoint.h"

#include "base/json.h"

#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* The whole request; its body, or NULL. */
static char *receive(int wire, char *request, size_t size)
{
    size_t n = 0;
    char *body = NULL;
    for (ssize_t got; n + 1 < size && (got = read(wire, request + n, size - 1 - n)) > 0;) {
        n += (size_t)got;
        request[n] = '\0';
        body = strstr(request, "\r\n\r\n");
        const char *length = strcasestr(request, "content-length:");
        if (body && length && (long)(n - (size_t)(body + 4 - request)) >= atol(length + 15)) break;
    }
    return body ? body + 4 : NULL;
}

static void reply(int wire, const char *status, lm_json *doc)
{
    lm_str text = {0}, out = {0};
    lm_json_text(&text, doc, 0);
    lm_str_printf(&out, "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s", status, text.len, text.data);
    for (size_t at = 0; at < out.len;) {
        ssize_t n = write(wire, out.data + at, out.len - at);
        if (n <= 0) break;
        at += (size_t)n;
    }
    lm_str_free(&text), lm_str_free(&out);
    lm_json_free(doc);
}

static void answer(int wire, volatile endpoint_state *state, endpoint_script script)
{
    static char request[1 << 18];
    const char *body = receive(wire, request, sizeof request);
    if (!body) return;
    state->requests++;
    state->keyed += strstr(request, "Authorization: Bearer sesame") != NULL;
    if (state->patience > 0 && --state->patience == 0)
        for (state->patience = -1; state->patience;) usleep(1000);
    if (state->busy > 0) {
        state->busy--;
        reply(wire, "503 Busy", json_pack("{s:{s:s}}", "error", "message", "too many"));
        return;
    }
    lm_json *asked = lm_json_parse(body, strlen(body), "request", NULL), *messages = json_object_get(asked, "messages");
    const char *question = json_string_value(json_object_get(json_array_get(messages, json_array_size(messages) - 1), "content"));
    char *said = script(question ? question : "");
    if (said) reply(wire, "200 OK", json_pack("{s:[{s:{s:s, s:s}, s:s}]}", "choices", "message", "role", "assistant", "content", said, "finish_reason", state->cut ? "length" : "stop"));
    else reply(wire, "400 Bad Request", json_pack("{s:{s:s}}", "error", "message", "not that"));
    free(said);
    lm_json_free(asked);
}

int endpoint_start(endpoint *e, endpoint_script script)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof address;
    int door = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(door, (struct sockaddr *)&address, size) || listen(door, 64) || getsockname(door, (struct sockaddr *)&address, &size)) return -1;
    e->port = ntohs(address.sin_port);
    e->state = mmap(NULL, sizeof *e->state, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    e->pid = fork();
    if (!e->pid) {
        signal(SIGPIPE, SIG_IGN);                            /* who asked may have been killed */
        for (int wire; (wire = accept(door, NULL, NULL)) >= 0; close(wire)) answer(wire, e->state, script);
        _exit(0);
    }
    close(door);
    return 0;
}

void endpoint_stop(endpoint *e)
{
    kill(e->pid, SIGKILL);
    waitpid(e->pid, NULL, 0);
    munmap((void *)(uintptr_t)e->state, sizeof *e->state);
}
