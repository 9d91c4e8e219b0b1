#include "net/http.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/url.h"
#include "proc/alive.h"

#include <curl/curl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    CONNECT_MS = 10 * 1000,
    RECEIVE_BUFFER = 64 * 1024, /* a reply of 300 KB in 5 reads instead of 19 */
    KEPT_BODY = 1024 * 1024,    /* a larger body buffer is given back after its reply */
    CONNECTIONS_KEPT = 32,
    RETRY_AFTER_SANE_S = 24 * 3600,
    UNACKNOWLEDGED_MS = 10 * 1000,
};

enum transfer_state {
    TRANSFER_IDLE,
    TRANSFER_LIVE, /* handed to curl */
    TRANSFER_DONE, /* not taken yet */
    TRANSFER_TAKEN,
};

struct http_transfer {
    enum transfer_state state;
    uint64_t done_order;
    CURL *easy;
    char *url;
    struct buf body;
    void *user;
    size_t sent; /* length of the request's body */
    CURLcode result;
    bool too_large;
    char words[CURL_ERROR_SIZE];
};

/* There are few transfers, so every choice is a scan of them and there are no lists to keep right.
 */
struct http {
    CURLM *multi;
    struct curl_slist *headers;
    struct http_transfer *transfers[HTTP_TRANSFERS_MAX];
    size_t n_transfers;
    uint64_t last_done;
};

static void *http_resize(void *p, size_t n)
{
    return mem_grow(p, n, 1);
}

int http_open(struct http **ret, struct err *err)
{
    if (curl_global_init_mem(CURL_GLOBAL_DEFAULT, mem_alloc, mem_free, http_resize, mem_strdup,
                             mem_zero) != CURLE_OK)
        return err_set(err, ERR_FAILED, "libcurl does not start");
    struct http *h = mem_zero(1, sizeof *h);
    h->multi = curl_multi_init();
    /* An empty "Expect:" keeps curl from waiting for "100 Continue" before bodies over 1 MB. */
    h->headers = curl_slist_append(NULL, "Content-Type: application/json");
    if (h->headers)
        curl_slist_append(h->headers, "Accept: application/json");
    if (!h->multi || !h->headers || !curl_slist_append(h->headers, "Expect:")) {
        http_close(h);
        return err_set(err, ERR_FAILED, "libcurl has no memory");
    }
    curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS_KEPT);
    *ret = h;
    return 0;
}

void http_use_one_connection(struct http *h)
{
    curl_multi_setopt(h->multi, CURLMOPT_MAX_HOST_CONNECTIONS, 1L);
    curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, 1L);
}

static void http_transfer_free(struct http_transfer *t)
{
    curl_easy_cleanup(t->easy);
    buf_free(&t->body);
    mem_free(t->url);
    mem_free(t);
}

/* The first in this state, of those done the one that was done first; NULL: none is in it. */
static struct http_transfer *http_find(const struct http *h, enum transfer_state state)
{
    struct http_transfer *first = NULL;
    for (size_t i = 0; i < h->n_transfers; i++) {
        struct http_transfer *t = h->transfers[i];
        if (t->state == state && (!first || t->done_order < first->done_order))
            first = t;
    }
    return first;
}

static size_t http_on_body(char *bytes, size_t size, size_t n, void *ctx)
{
    struct http_transfer *t = ctx;
    buf_add(&t->body, bytes, size * n);
    if (t->body.overflow) {
        t->too_large = true;
        return CURL_WRITEFUNC_ERROR;
    }
    return size * n;
}

/* A path that died in silence (a NAT that forgot, a cable) is noticed by the kernel when what we
 * sent stays unacknowledged, before the request's own time is up: there is time for another
 * connection. */
static int http_on_socket(void *ctx, curl_socket_t fd, curlsocktype purpose)
{
    unsigned ms = UNACKNOWLEDGED_MS;
    (void)ctx;
    (void)purpose;
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms,
               sizeof ms); /* without it: slower, not wrong */
    return CURL_SOCKOPT_OK;
}

/* A certificate authority of one's own, by the names that the curl command and OpenSSL know. */
static void http_set_trust(CURL *e)
{
    const char *file = getenv("CURL_CA_BUNDLE"), *folder = getenv("SSL_CERT_DIR");
    if (!file || !*file)
        file = getenv("SSL_CERT_FILE");
    if (file && *file)
        curl_easy_setopt(e, CURLOPT_CAINFO, file);
    if (folder && *folder)
        curl_easy_setopt(e, CURLOPT_CAPATH, folder);
}

/* What never changes for a transfer is set once, not for each request. */
static void http_set_up(struct http *h, struct http_transfer *t)
{
    CURL *e = t->easy;
    curl_easy_setopt(e, CURLOPT_PRIVATE, t);
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    curl_easy_setopt(e, CURLOPT_ACCEPT_ENCODING, "");
    curl_easy_setopt(e, CURLOPT_HTTPHEADER, h->headers);
    curl_easy_setopt(e, CURLOPT_USERAGENT, "trueup/" TRUEUP_VERSION);
    curl_easy_setopt(e, CURLOPT_POST, 1L);
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, http_on_body);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, t->words);
    curl_easy_setopt(e, CURLOPT_BUFFERSIZE, (long)RECEIVE_BUFFER);
    http_set_trust(e);
    curl_easy_setopt(e, CURLOPT_SOCKOPTFUNCTION, http_on_socket);
    curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(e, CURLOPT_TCP_KEEPIDLE, 30L);
    curl_easy_setopt(e, CURLOPT_TCP_KEEPINTVL, 10L);
}

/* curl asks again by itself when a kept connection turns out to be closed, but up to 8.x it counts
 * these over the life of a handle and gives up at the sixth; only a reset clears the count. */
static void http_forget_retries(struct http *h, struct http_transfer *t)
{
    long connects = 0;
    curl_easy_getinfo(t->easy, CURLINFO_NUM_CONNECTS, &connects);
    if (connects == 0)
        return;
    curl_easy_reset(t->easy);
    mem_free(t->url);
    t->url = NULL;
    http_set_up(h, t);
}

static void http_make_idle(struct http *h, struct http_transfer *t)
{
    http_forget_retries(h, t);
    if (t->body.room > KEPT_BODY)
        buf_free(&t->body);
    t->state = TRANSFER_IDLE;
    t->done_order = 0; /* so that the same few are used again, with the memory they have */
}

void http_close(struct http *h)
{
    if (!h)
        return;
    for (size_t i = 0; i < h->n_transfers; i++) {
        http_cancel(h, h->transfers[i]);
        http_transfer_free(h->transfers[i]);
    }
    if (h->multi)
        curl_multi_cleanup(h->multi);
    curl_slist_free_all(h->headers);
    mem_free(h);
    curl_global_cleanup();
}

static struct http_transfer *http_transfer_get(struct http *h, struct err *err)
{
    struct http_transfer *t = http_find(h, TRANSFER_IDLE);
    if (t)
        return t;
    if (h->n_transfers == HTTP_TRANSFERS_MAX) {
        err_set(err, ERR_FAILED, "%d HTTP requests are in flight already", HTTP_TRANSFERS_MAX);
        return NULL;
    }
    CURL *easy = curl_easy_init();
    if (!easy) {
        err_set(err, ERR_FAILED, "libcurl has no memory");
        return NULL;
    }
    t = mem_zero(1, sizeof *t);
    t->easy = easy;
    http_set_up(h, t);
    h->transfers[h->n_transfers++] = t;
    return t;
}

static int http_set_error(CURLMcode rc, struct err *err)
{
    return err_set(err, ERR_FAILED, "libcurl: %s", curl_multi_strerror(rc));
}

static void http_set_url(struct http_transfer *t, const char *url)
{
    if (t->url && strcmp(t->url, url) == 0)
        return;
    mem_free(t->url);
    t->url = mem_strdup(url);
    curl_easy_setopt(t->easy, CURLOPT_URL, t->url);
    /* Over TLS wait to see whether the first connection multiplexes before opening a second. */
    curl_easy_setopt(t->easy, CURLOPT_PIPEWAIT, strncmp(url, "https:", 6) == 0 ? 1L : 0L);
}

int http_post(struct http *h, const struct http_post *post, struct http_transfer **ret,
              struct err *err)
{
    struct http_transfer *t = http_transfer_get(h, err);
    if (!t)
        return -1;
    int left = ms_until(post->deadline_ms);
    long timeout = left > 0 ? left : 1;
    buf_clear(&t->body);
    t->body.ceiling = post->reply_max;
    t->user = post->user;
    t->sent = post->body_len;
    t->too_large = false;
    t->words[0] = '\0';
    http_set_url(t, post->url);
    curl_easy_setopt(t->easy, CURLOPT_POSTFIELDS, post->body);
    curl_easy_setopt(t->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)post->body_len);
    curl_easy_setopt(t->easy, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)post->reply_max);
    curl_easy_setopt(t->easy, CURLOPT_TIMEOUT_MS, timeout);
    curl_easy_setopt(t->easy, CURLOPT_CONNECTTIMEOUT_MS,
                     timeout < CONNECT_MS ? timeout : CONNECT_MS);
    CURLMcode rc = curl_multi_add_handle(h->multi, t->easy);
    if (rc != CURLM_OK) {
        http_make_idle(h, t);
        return http_set_error(rc, err);
    }
    t->state = TRANSFER_LIVE;
    *ret = t;
    return 0;
}

void http_cancel(struct http *h, struct http_transfer *t)
{
    if (t->state == TRANSFER_LIVE)
        curl_multi_remove_handle(h->multi, t->easy);
    http_make_idle(h, t);
}

static void http_collect_done(struct http *h)
{
    int left;
    for (CURLMsg *m; (m = curl_multi_info_read(h->multi, &left)) != NULL;) {
        if (m->msg != CURLMSG_DONE)
            continue;
        struct http_transfer *t = NULL;
        CURLcode result = m->data.result; /* m is gone once the handle is removed */
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&t);
        t->result = result;
        curl_multi_remove_handle(h->multi, t->easy);
        t->state = TRANSFER_DONE;
        t->done_order = ++h->last_done;
    }
}

int http_kick(struct http *h, struct err *err)
{
    int running;
    CURLMcode rc = curl_multi_perform(h->multi, &running);
    if (rc != CURLM_OK)
        return http_set_error(rc, err);
    http_collect_done(h);
    return 0;
}

int http_wait(struct http *h, int timeout_ms, int wake_fd, bool *ret_woken, struct err *err)
{
    *ret_woken = false;
    if (http_find(h, TRANSFER_DONE))
        return 0;
    int64_t end = clock_ms() + timeout_ms;
    for (;;) {
        if (http_kick(h, err) != 0)
            return -1;
        int left = ms_until(end);
        if (left == 0 || http_find(h, TRANSFER_DONE))
            return 0;
        struct curl_waitfd wake = {.fd = wake_fd, .events = CURL_WAIT_POLLIN};
        int ready = 0;
        CURLMcode rc =
            curl_multi_poll(h->multi, &wake, wake_fd >= 0 ? 1 : 0, alive_slice(left), &ready);
        if (rc != CURLM_OK)
            return http_set_error(rc, err);
        if (wake_fd >= 0 && wake.revents) {
            *ret_woken = true;
            return 0;
        }
    }
}

/* Which kinds of trouble curl's codes are; what is not listed broke in the middle. So does a
 * handshake (CURLE_SSL_CONNECT_ERROR): a reset in it says nothing about the certificate. */
static const struct {
    CURLcode code;
    enum http_trouble trouble;
} troubles[] = {
    {CURLE_OK, HTTP_FINE},
    {CURLE_COULDNT_RESOLVE_HOST, HTTP_NO_CONNECTION},
    {CURLE_COULDNT_RESOLVE_PROXY, HTTP_NO_CONNECTION},
    {CURLE_COULDNT_CONNECT, HTTP_NO_CONNECTION},
    {CURLE_OPERATION_TIMEDOUT, HTTP_TIMED_OUT},
    {CURLE_FILESIZE_EXCEEDED, HTTP_TOO_LARGE},
    {CURLE_PEER_FAILED_VERIFICATION, HTTP_UNTRUSTED},
    {CURLE_SSL_CERTPROBLEM, HTTP_UNTRUSTED},
    {CURLE_SSL_CACERT_BADFILE, HTTP_UNTRUSTED},
    {CURLE_SSL_ISSUER_ERROR, HTTP_UNTRUSTED},
    {CURLE_URL_MALFORMAT, HTTP_BAD_URL},
    {CURLE_UNSUPPORTED_PROTOCOL, HTTP_BAD_URL},
};

static enum http_trouble http_trouble_of(const struct http_transfer *t, int status)
{
    enum http_trouble trouble = HTTP_BROKEN;
    for (size_t i = 0; i < COUNT_OF(troubles); i++)
        if (troubles[i].code == t->result)
            trouble = troubles[i].trouble;
    if (t->too_large)
        return HTTP_TOO_LARGE;
    return trouble == HTTP_FINE && status >= 300 && status < 400 ? HTTP_REDIRECT : trouble;
}

/* OpenSSL's words for a peer that does not speak TLS. */
static void http_name_plain_port(const struct http_transfer *t, struct http_reply *r)
{
    char masked[URL_TEXT];
    size_t n = strlen(r->text);
    if (strncmp(t->url, "https://", 8) != 0 ||
        (!strstr(r->text, "wrong version number") && !strstr(r->text, "packet length too long") &&
         !strstr(r->text, "record layer failure")))
        return;
    url_masked(masked, t->url);
    snprintf(r->text + n, sizeof r->text - n, HTTP_NO_TLS "http%.200s?", masked + strlen("https"));
}

static void http_describe_trouble(const struct http_transfer *t, struct http_reply *r)
{
    char where[URL_TEXT];
    char *to = NULL;
    r->text[0] = '\0';
    /* The library's memory is ours, and there was enough of it: it says so of what it finds too
     * long, a header line of 100 KB first of all. */
    if (t->result == CURLE_OUT_OF_MEMORY) {
        snprintf(r->text, sizeof r->text, "the reply's headers are too large");
    } else if (r->trouble == HTTP_TOO_LARGE) {
        snprintf(r->text, sizeof r->text, "the reply is over the ceiling of %zu bytes",
                 t->body.ceiling);
    } else if (r->trouble == HTTP_REDIRECT) {
        curl_easy_getinfo(t->easy, CURLINFO_REDIRECT_URL, &to);
        url_masked(where, to ? to : "");
        snprintf(r->text, sizeof r->text, "HTTP %d redirects to %s, which is not followed",
                 r->status, where);
    } else if (r->trouble != HTTP_FINE) {
        url_scrub(r->text, sizeof r->text, t->words[0] ? t->words : curl_easy_strerror(t->result),
                  t->url);
        http_name_plain_port(t, r);
    }
}

/* Whether curl counts a body in the size of "the request" depends on its length and on curl's
 * version; request headers are always shorter than a body that is left out. */
static uint64_t http_bytes_out(const struct http_transfer *t)
{
    long request = 0;
    curl_off_t body = 0;
    curl_easy_getinfo(t->easy, CURLINFO_REQUEST_SIZE, &request);
    curl_easy_getinfo(t->easy, CURLINFO_SIZE_UPLOAD_T, &body);
    uint64_t head = request > 0 ? (uint64_t)request : 0;
    if (head >= t->sent)
        head -= t->sent;
    return head + (body > 0 ? (uint64_t)body : 0);
}

bool http_take(struct http *h, struct http_reply *ret)
{
    struct http_transfer *t = http_find(h, TRANSFER_DONE);
    if (!t)
        return false;
    t->state = TRANSFER_TAKEN;
    long status = 0, headers = 0;
    curl_off_t down = 0, retry_after = 0;
    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(t->easy, CURLINFO_HEADER_SIZE, &headers);
    curl_easy_getinfo(t->easy, CURLINFO_SIZE_DOWNLOAD_T, &down);
    curl_easy_getinfo(t->easy, CURLINFO_RETRY_AFTER, &retry_after);
    if (retry_after > RETRY_AFTER_SANE_S)
        retry_after = RETRY_AFTER_SANE_S;
    *ret = (struct http_reply){
        .user = t->user,
        .status = (int)status,
        .body = buf_str(&t->body),
        .body_len = t->body.len,
        .retry_after_ms = retry_after > 0 ? (int64_t)retry_after * 1000 : -1,
        .bytes_out = http_bytes_out(t),
        .bytes_in = (uint64_t)(headers > 0 ? headers : 0) + (uint64_t)(down > 0 ? down : 0),
        .transfer = t,
    };
    ret->trouble = http_trouble_of(t, ret->status);
    http_describe_trouble(t, ret);
    return true;
}

void http_reply_done(struct http *h, struct http_reply *r)
{
    if (r->transfer)
        http_make_idle(h, r->transfer);
    r->transfer = NULL;
    r->body = "";
    r->body_len = 0;
}
