#include "base/http.h"

#if LM_CURL

#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>
#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

static const size_t MOST_BYTES = (size_t)16 << 20;

#define CALLS(X) X(global_init) X(easy_init) X(easy_setopt) X(easy_perform) X(easy_getinfo) X(easy_strerror) X(easy_cleanup) X(slist_append) X(slist_free_all)

static struct {
    bool ready;
#define X(name) __typeof__(curl_##name) *name;
    CALLS(X)
#undef X
} curl;

static void load(void)
{
    void *library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
    if (!library) return;
    bool complete = true;
#define X(name) complete &= (*(void **)&curl.name = dlsym(library, "curl_" #name)) != NULL;
    CALLS(X)
#undef X
    curl.ready = complete && curl.global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
}

/* A size of 0 back makes libcurl give up. */
static size_t receive(char *bytes, size_t one, size_t n, void *to)
{
    lm_str *body = to;
    if (body->len + one * n > MOST_BYTES) return 0;
    lm_str_append(body, bytes, one * n);
    return one * n;
}

static void describe(CURL *c, const lm_http_request *r, struct curl_slist *headers, char *why, lm_str *body)
{
    curl.easy_setopt(c, CURLOPT_URL, r->url);
#if LIBCURL_VERSION_NUM >= 0x075500
    curl.easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    curl.easy_setopt(c, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
    curl.easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl.easy_setopt(c, CURLOPT_POST, 1L);
    curl.easy_setopt(c, CURLOPT_POSTFIELDS, r->body.data);
    curl.easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body.len);
    curl.easy_setopt(c, CURLOPT_HTTPHEADER, headers);
    curl.easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)(1000 * r->seconds));
    curl.easy_setopt(c, CURLOPT_ERRORBUFFER, why);
    curl.easy_setopt(c, CURLOPT_WRITEFUNCTION, receive);
    curl.easy_setopt(c, CURLOPT_WRITEDATA, body);
}

lm_status lm_http_post(long *status, lm_str *body, const lm_http_request *r, lm_err *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load);
    if (!curl.ready) return lm_fail(err, LM_E_UNSUPPORTED, "%s: this machine has no libcurl to ask it with", r->url);
    char why[CURL_ERROR_SIZE] = { 0 };
    struct curl_slist *headers = NULL;
    for (const char *const *h = r->headers; *h; h++) headers = curl.slist_append(headers, *h);
    CURL *c = curl.easy_init();
    describe(c, r, headers, why, body);
    CURLcode code = curl.easy_perform(c);
    if (code == CURLE_OK) curl.easy_getinfo(c, CURLINFO_RESPONSE_CODE, status);
    curl.easy_cleanup(c);
    curl.slist_free_all(headers);
    if (code == CURLE_OK) return LM_OK;
    if (code == CURLE_WRITE_ERROR) return lm_fail(err, LM_E_IO, "%s: the reply is longer than %zu MiB", r->url, MOST_BYTES >> 20);
    return lm_fail(err, LM_E_IO, "%s: %s", r->url, *why ? why : curl.easy_strerror(code));
}

#else

lm_status lm_http_post(long *status, lm_str *body, const lm_http_request *r, lm_err *err)
{
    (void)status, (void)body;
    return lm_fail(err, LM_E_UNSUPPORTED, "%s: built without libcurl", r->url);
}

#endif
