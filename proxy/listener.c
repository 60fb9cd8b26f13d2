#include "proxy/front.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <unistd.h>

enum { ADDRESS_MAX = 255 };

/* "127.0.0.1:8080", "[::1]:8080", "localhost:8080". */
static bool address_split(const char *address_port, char host[ADDRESS_MAX + 1], const char **port)
{
    const char *begin = address_port, *colon = strrchr(address_port, ':');
    if (colon == NULL) return false;
    size_t len = (size_t)(colon - begin);
    *port = colon + 1;
    if (begin[0] == '[') {
        if (len < 3 || begin[len - 1] != ']') return false;
        begin++;
        len -= 2;
    } else if (memchr(begin, ':', len) != NULL) {
        return false; /* an IPv6 address without its brackets */
    }
    if (len == 0 || len > ADDRESS_MAX) return false;
    memcpy(host, begin, len);
    host[len] = '\0';
    int64_t number;
    return view_parse_decimal(view_of_str(*port), 65536, &number) && number <= 65535;
}

static bool set_on(int fd, int level, int option)
{
    const int on = 1;
    return setsockopt(fd, level, option, &on, sizeof(on)) == 0;
}

enum sharing { ALONE, SHARED };

/* Accepted sockets inherit TCP_NODELAY. IPv6 listens to IPv6 only, so that every IPv4 peer has its IPv4 address.
 * @return fd, or negative errno */
static int socket_open(const struct addrinfo *a, enum sharing sharing)
{
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    bool ready = set_on(fd, SOL_SOCKET, SO_REUSEADDR) && set_on(fd, IPPROTO_TCP, TCP_NODELAY);
    if (sharing == SHARED) ready = ready && set_on(fd, SOL_SOCKET, SO_REUSEPORT);
    if (a->ai_family == AF_INET6) ready = ready && set_on(fd, IPPROTO_IPV6, IPV6_V6ONLY);
    if (ready && bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, SOMAXCONN) == 0) return fd;
    int saved = errno;
    close(fd);
    return -saved;
}

static int open_as(const char *address_port, enum sharing sharing, char *why, size_t cap)
{
    char host[ADDRESS_MAX + 1];
    const char *port;
    if (!address_split(address_port, host, &port)) {
        snprintf(why, cap, "'%s' is no address to listen on: write 127.0.0.1:8080 or [::1]:8080", address_port);
        return -EINVAL;
    }
    const struct addrinfo hints = { .ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM };
    struct addrinfo *found = NULL;
    int rc = getaddrinfo(host, port, &hints, &found);
    if (rc != 0) {
        snprintf(why, cap, "cannot listen on %s: %s", address_port, gai_strerror(rc));
        return -EADDRNOTAVAIL;
    }
    int fd = socket_open(found, sharing);
    if (fd < 0) snprintf(why, cap, "cannot listen on %s: %s", address_port, strerror(-fd));
    freeaddrinfo(found);
    return fd;
}

/* Each worker would be given another one. */
static bool leaves_port_open(const char *address_port)
{
    char host[ADDRESS_MAX + 1];
    const char *port;
    return address_split(address_port, host, &port) && port[strspn(port, "0")] == '\0';
}

int listener_claim(const char *address_port, char *why, size_t cap)
{
    if (leaves_port_open(address_port)) {
        snprintf(why, cap, "cannot listen on %s: name a port, 1 to 65535", address_port);
        return -EINVAL;
    }
    return open_as(address_port, ALONE, why, cap);
}

int listener_open(const char *address_port, char *why, size_t cap)
{
    int fd = open_as(address_port, SHARED, why, cap);
    return fd < 0 ? -1 : fd;
}
