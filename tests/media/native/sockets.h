/* UDP sockets for the test programs that send through the kernel, at an address of loopback that no other process uses: a
 * port that was closed is nobody else's a moment later.
 */
#ifndef MEDIA_TEST_SOCKETS_H
#define MEDIA_TEST_SOCKETS_H

#include <arpa/inet.h>
#include <unistd.h>

#include "../../../media/native/core.h"
#include "check.h"

/* A port of ours, which is in the order of the network. */
static inline union address local(uint16_t port)
{
    uint32_t host = 127u << 24 | 64u << 16 | ((uint32_t)getpid() & 0x3FFFFF);
    union address address = {.v4 = {.sin_family = AF_INET, .sin_port = port, .sin_addr.s_addr = htonl(host)}};
    return address;
}

static inline int bound(uint16_t *port)
{
    union address address = local(0);
    socklen_t length = sizeof address.v4;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    CHECK(fd >= 0 && bind(fd, &address.any, length) == 0 && getsockname(fd, &address.any, &length) == 0);
    *port = address.v4.sin_port;
    return fd;
}

#endif
