#include "base/err.h"
#include "web/server_internal.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 512 };

bool server_split_listen(const char *listen, char *host, size_t room, const char **port)
{
    const char *colon = strrchr(listen, ':');
    size_t n = colon ? (size_t)(colon - listen) : 0;
    if (!colon || n >= room)
        return false;
    *port = colon + 1;
    if (n >= 2 && listen[0] == '[' && listen[n - 1] == ']') {
        listen++;
        n -= 2;
    }
    memcpy(host, listen, n);
    host[n] = '\0';
    return true;
}

bool server_is_local(const char *listen)
{
    char host[256];
    const char *port;
    return server_split_listen(listen, host, sizeof host, &port) &&
           (strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0 ||
            strcmp(host, "localhost") == 0);
}

static int bind_to(const struct addrinfo *a)
{
    int one = 1, both = 0;
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (a->ai_family == AF_INET6) /* [::] is reached by IPv4, too */
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &both, sizeof both);
    if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int why = errno;
    close(fd);
    errno = why;
    return -1;
}

int listen_on(const char *listen, struct err *err)
{
    char host[256];
    const char *port;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found;
    if (!server_split_listen(listen, host, sizeof host, &port))
        return err_set(err, ERR_USAGE, "http.listen: \"%s\" is no address and port", listen);
    int rc = getaddrinfo(host[0] ? host : NULL, port, &hints, &found);
    if (rc != 0)
        return err_set(err, ERR_FAILED, "http.listen: \"%s\": %s", listen, gai_strerror(rc));
    int fd = -1;
    for (struct addrinfo *a = found; a && fd < 0; a = a->ai_next)
        fd = bind_to(a);
    if (fd < 0) {
        err_set(err, ERR_FAILED, "cannot listen on %s: %s", listen, strerror(errno));
        err_hint(err, "another program may have the port: choose one with http.listen, or off");
    }
    freeaddrinfo(found);
    return fd;
}
