/* Transport addresses of either family: comparing them, and what the kernel wants to know of them. */
#ifndef MEDIA_ADDRESS_H
#define MEDIA_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* The port stands at the same place in both families. IPv4 never comes mapped: IPv6 sockets are IPV6_V6ONLY. */
union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static inline uint16_t address_port(const union address *address)
{
    return ntohs(address->v4.sin_port);
}

static inline void address_set_port(union address *address, uint16_t port)
{
    address->v4.sin_port = htons(port);
}

static inline socklen_t address_length(const union address *address)
{
    return address->any.sa_family == AF_INET6 ? sizeof address->v6 : sizeof address->v4;
}

static inline bool same_host(const union address *a, const union address *b)
{
    if (a->any.sa_family != b->any.sa_family)
        return false;
    if (a->any.sa_family == AF_INET)
        return a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr;
    return !memcmp(&a->v6.sin6_addr, &b->v6.sin6_addr, sizeof a->v6.sin6_addr);
}

static inline bool same_address(const union address *a, const union address *b)
{
    return a->v4.sin_port == b->v4.sin_port && same_host(a, b);
}

/* Whether packets can be sent there: neither port 0 nor the unspecified address (hold of RFC 2543). */
static inline bool address_usable(const union address *address)
{
    static const struct in6_addr unspecified;
    if (!address->v4.sin_port)
        return false;
    if (address->any.sa_family == AF_INET)
        return address->v4.sin_addr.s_addr != 0;
    return memcmp(&address->v6.sin6_addr, &unspecified, sizeof unspecified) != 0;
}

#endif
