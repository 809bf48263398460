/* The worker's sockets, by epoll or io_uring: looked at once a tick, so that a packet costs no wake-up of its own.
 *
 * What is given to io_send lies in a received packet or in io_scratch, and stays untouched until the next io_wait.
 * Either has SRTP_ROOM behind it.
 */
#ifndef MEDIA_IO_H
#define MEDIA_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "address.h"

struct worker;
struct io;

struct io_kind {
    const char *name;
    struct io *(*create)(uint32_t capacity, int wake_fd); /* NULL where the kernel lacks it */
    void (*destroy)(struct io *io);
    bool (*open)(struct io *io, uint32_t slot, int rtp_fd, int rtcp_fd);
    void (*close)(struct io *io, uint32_t slot);
    void (*wait)(struct io *io, int64_t until);
    void (*receive)(struct io *io, struct worker *worker);
    uint8_t *(*scratch)(struct io *io);
    void (*send)(struct io *io, uint32_t slot, bool rtcp, const uint8_t *data, size_t length,
                 const union address *to);
    /* Nothing is read of the slot until it is resumed: what arrives meanwhile is the kernel's to drop. */
    void (*pause)(struct io *io, uint32_t slot, bool paused);
};

extern const struct io_kind io_epoll, io_uring;

/* First member of every kind's state. */
struct io {
    const struct io_kind *kind;
};

/* `name`: "epoll", "uring", or "auto" for the best that this kernel has. */
struct io *io_create(uint32_t capacity, int wake_fd, const char *name);

static inline void io_destroy(struct io *io)
{
    io->kind->destroy(io);
}

/* False: nothing would be heard there; close it. */
static inline bool io_open(struct io *io, uint32_t slot, int rtp_fd, int rtcp_fd)
{
    return io->kind->open(io, slot, rtp_fd, rtcp_fd);
}

/* Also closes the descriptors; their ports are free on return. */
static inline void io_close(struct io *io, uint32_t slot)
{
    io->kind->close(io, slot);
}

/* Sends what waits; sleeps until `until`, or where that is negative until the wake-up descriptor is written to. */
static inline void io_wait(struct io *io, int64_t until)
{
    io->kind->wait(io, until);
}

/* Gives what has arrived to endpoint_receive(). */
static inline void io_receive(struct io *io, struct worker *worker)
{
    io->kind->receive(io, worker);
}

/* Room for one packet of ours (at most 512 bytes). */
static inline uint8_t *io_scratch(struct io *io)
{
    return io->kind->scratch(io);
}

static inline void io_send(struct io *io, uint32_t slot, bool rtcp, const uint8_t *data, size_t length,
                           const union address *to)
{
    io->kind->send(io, slot, rtcp, data, length, to);
}

static inline void io_pause(struct io *io, uint32_t slot, bool paused)
{
    io->kind->pause(io, slot, paused);
}

#endif
