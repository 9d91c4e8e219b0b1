#include "provider_child.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/parse.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { LOG_MAX = 1024, REPLY_MAX = 16 << 20, ORDER_MAX = 64 << 10 };

extern char **environ;

static struct {
    pid_t pid;
    int in, port, tls_port;
    struct json *log[LOG_MAX];
    size_t n_log;
} child;

/* "listening PORT TLSPORT" */
static int read_ports(int fd)
{
    char line[64] = "";
    size_t n = 0;
    uint64_t port, tls;
    while (n < sizeof line - 1 && read(fd, line + n, 1) == 1 && line[n] != '\n')
        n++;
    char *first = line + strlen("listening "), *gap = strchr(first, ' ');
    if (strncmp(line, "listening ", 10) != 0 || !gap ||
        !parse_u64(first, (size_t)(gap - first), &port) ||
        !parse_u64(gap + 1, n - (size_t)(gap + 1 - line), &tls))
        return -1;
    child.port = (int)port;
    child.tls_port = (int)tls;
    return 0;
}

int provider_start(void)
{
    int in[2], out[2];
    char python[] = "/usr/bin/python3", script[] = PROVIDER_DIR "/provider.py";
    char *const argv[] = {python, script, NULL};
    posix_spawn_file_actions_t actions;
    signal(SIGPIPE, SIG_IGN);
    if (pipe2(in, 0) < 0 || pipe2(out, 0) < 0)
        return -1;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    posix_spawn_file_actions_addclose(&actions, in[1]);
    posix_spawn_file_actions_addclose(&actions, out[0]);
    int rc = posix_spawn(&child.pid, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(in[0]);
    close(out[1]);
    child.in = in[1];
    if (rc == 0)
        rc = read_ports(out[0]);
    close(out[0]);
    if (rc != 0)
        fprintf(stderr, "# the scripted provider did not start: %s\n", PROVIDER_DIR);
    return rc == 0 ? 0 : -1;
}

static void forget_log(void)
{
    for (size_t i = 0; i < child.n_log; i++)
        json_free(child.log[i]);
    child.n_log = 0;
}

void provider_stop(void)
{
    forget_log();
    close(child.in); /* it ends with its standard input */
    waitpid(child.pid, NULL, 0);
}

int provider_port(void)
{
    return child.port;
}

int provider_tls_port(void)
{
    return child.tls_port;
}

/* One HTTP/1.0 exchange, apart from the code under test; *reply starts at the body. */
static const char *exchange(const char *method, const char *path, const char *body,
                            struct buf *reply)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)child.port)};
    struct buf request = BUF_INIT(ORDER_MAX);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0);
    buf_addf(&request, "%s %s HTTP/1.0\r\nContent-Length: %zu\r\n\r\n%s", method, path,
             strlen(body), body);
    assert_false(request.overflow);
    assert_int_equal(write(fd, request.data, request.len), request.len);
    buf_init(reply, REPLY_MAX);
    for (ssize_t n = 1; n > 0;) {
        char *room = buf_reserve(reply, 65536);
        assert_non_null(room);
        n = read(fd, room, 65536);
        reply->len += n > 0 ? (size_t)n : 0;
        reply->data[reply->len] = '\0';
    }
    close(fd);
    buf_free(&request);
    if (strncmp(buf_str(reply) + 8, " 200", 4) != 0)
        fail_msg("provider %s %s: %s", path, body, buf_str(reply));
    const char *start = strstr(reply->data, "\r\n\r\n");
    assert_non_null(start);
    return start + 4;
}

static size_t order_state(const char *json, const char *field)
{
    struct buf reply;
    int64_t value = -1;
    const char *body = exchange("POST", "/_control", json, &reply);
    struct json *doc = json_parse(body, strlen(body), REPLY_MAX, NULL);
    assert_true(json_i64(json_get(doc, field), &value));
    json_free(doc);
    buf_free(&reply);
    return (size_t)value;
}

void provider_order(const char *json)
{
    order_state(json, "requests");
}

void provider_reset(void)
{
    provider_order("{\"reset\":true,\"toy\":{\"head\":100,\"chain_id\":1,\"call_result\":\"0x\"}}");
}

size_t provider_requests(void)
{
    return order_state("{}", "requests");
}

size_t provider_connections(void)
{
    return order_state("{}", "connections");
}

void provider_rules(const char *fmt, ...)
{
    char text[4096];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    assert_true(n >= 0 && (size_t)n < sizeof text);
    for (char *c = text; *c; c++)
        *c = *c == '\'' ? '"' : *c;
    struct buf order = BUF_INIT(ORDER_MAX);
    buf_addf(&order, "{\"rules\":[%s]}", text);
    provider_order(buf_str(&order));
    buf_free(&order);
}

const struct json *const *provider_log(size_t *ret_n)
{
    struct buf reply;
    const char *line = exchange("GET", "/_log", "", &reply);
    forget_log();
    for (const char *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        assert_true(child.n_log < LOG_MAX);
        child.log[child.n_log] = json_parse(line, (size_t)(end - line), REPLY_MAX, NULL);
        assert_non_null(child.log[child.n_log]);
        child.n_log++;
    }
    buf_free(&reply);
    *ret_n = child.n_log;
    return (const struct json *const *)child.log;
}
