/*
 * Requests as our own part of the server sees them, behind the protocol: the path, two headers, the
 * query and the body, each on a line of its own, the body being the rest. The first byte chooses
 * the method (two bits), whether the db_thread takes the work (one), and whether a token is set
 * (one). Every request is answered exactly once, and without the token only what is open is.
 */
#include "base/mem.h"
#include "fuzz.h"
#include "web/app.h"
#include "web/query.h"

#include <string.h>

/* The server and the db_thread, as the routes see them. */
struct exchange {
    const char *method, *path, *authorization, *last, *query;
    struct buf body;
    int answers, status;
    bool stream;
};

static struct exchange now;
static struct db_thread_job *taken;
static bool takes;

bool exchange_is(const struct exchange *x, const char *method)
{
    return strcmp(x->method, method) == 0;
}

const char *exchange_path(const struct exchange *x)
{
    return x->path;
}

const char *exchange_header(const struct exchange *x, const char *name)
{
    return strcmp(name, "authorization") == 0 ? x->authorization : x->last;
}

const char *exchange_parameter(const struct exchange *x, const char *name, char *ret, size_t room)
{
    return query_value(x->query, name, ret, room);
}

const char *exchange_unknown_parameter(const struct exchange *x, const char *known, char *ret,
                                       size_t room)
{
    return query_unknown(x->query, known, ret, room);
}

const struct buf *exchange_body(const struct exchange *x)
{
    return &x->body;
}

uint64_t exchange_number(const struct exchange *x)
{
    (void)x;
    return 7;
}

struct exchange *server_exchange(struct server *s, uint64_t number)
{
    (void)s;
    return number == 7 ? &now : NULL;
}

void exchange_answer(struct exchange *x, int status, const char *type, const char *headers,
                     struct buf *body)
{
    HOLDS(type && (!headers || strstr(headers, "\r\n")));
    touch((const uint8_t *)buf_str(body), body->len);
    buf_free(body);
    x->answers++;
    x->status = status;
}

bool exchange_stream(struct exchange *x)
{
    x->stream = true;
    return true;
}

void exchange_send(struct exchange *x, const char *text, size_t n)
{
    HOLDS(x->stream);
    touch((const uint8_t *)text, n);
}

bool db_thread_submit(struct db_thread *c, struct db_thread_job *job)
{
    (void)c;
    if (takes)
        taken = job;
    return takes;
}

/* ---- one request ----------------------------------------------------------------------------- */

static struct app *open_app(bool token)
{
    static const char text[] =
        "chain: {endpoints: [{url: 'http://127.0.0.1:1'}]}\nstore: 'sqlite:x'\n"
        "balances:\n- name: audio\n"
        "  terms: [{name: held, contract: '0x0101010101010101010101010101010101010101', "
        "view: 'balanceOf(address)'}]\n";
    static struct app apps[2];
    struct app *a = &apps[token];
    struct conf_problems problems;
    if (a->conf)
        return a;
    struct conf *c = conf_load_text(text, sizeof text - 1, &problems);
    HOLDS(c);
    conf_problems_free(&problems);
    c->http.token = token ? (char *)(uintptr_t) "SECRET" : NULL;
    facts_init(&a->facts, c);
    a->conf = c;
    return a;
}

static char *line(char **at)
{
    char *start = *at, *end = strchr(start, '\n');
    *at = end ? end + 1 : start + strlen(start);
    if (end)
        *end = '\0';
    return start;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const char *const methods[] = {"GET", "POST", "PUT", "GET"};
    if (n < 1)
        return 0;
    struct app *a = open_app(data[0] & 8);
    char *text = mem_strndup((const char *)data + 1, n - 1), *at = text;
    now = (struct exchange){.method = methods[data[0] & 3]};
    takes = data[0] & 4;
    now.path = line(&at);
    now.authorization = line(&at);
    now.last = line(&at);
    now.query = line(&at);
    buf_init(&now.body, SERVER_BODY_MAX);
    buf_add(&now.body, at, strlen(at));
    if (now.path[0] == '/' && !now.body.overflow)
        routes_answer_request(a, &now);
    if (taken) {
        HOLDS(now.answers == 0);
        taken->rc = -1;
        taken->done(taken);
        taken = NULL;
    } else if (now.path[0] == '/' && !now.body.overflow && now.answers == 0) {
        /* waits for the largest rows: the deadline answers */
        HOLDS(pending_take(a, 7) == &now);
        now.answers = 1;
    }
    HOLDS(now.path[0] != '/' || now.body.overflow || now.answers == 1);
    if (a->conf->http.token && strstr(now.path, "/v1/") == now.path &&
        strcmp(now.authorization, "Bearer SECRET") != 0)
        HOLDS(now.body.overflow || now.status == 401 || now.status == 405);
    buf_free(&now.body);
    mem_free(text);
    return 0;
}
