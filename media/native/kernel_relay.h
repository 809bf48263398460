/* Streams that the kernel passes on by itself, without a socket: BPF at the ingress of the interfaces (tcx, Linux 6.6).
 *
 * `bpf/kernel_relay.c` is the program. What it knows of a stream is a `struct kernel_flow`, in memory that it and the workers
 * share: the worker (kernel_relay.c) puts a stream in once it runs evenly, reads how far it has come, and takes it out before
 * it changes anything. The program takes only the next packets of an ordinary stream of G.711. At any other (a key, comfort
 * noise, another SSRC, a number that went back, too many) it stops the stream first and leaves the packet to the socket,
 * so that the worker goes on from there: nothing of the core's rules has to be written twice. Of a call that is recorded the
 * worker gets a copy of each packet, by a ring in shared memory.
 */
#ifndef MEDIA_KERNEL_RELAY_H
#define MEDIA_KERNEL_RELAY_H

#ifndef __bpf__
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#endif

#define KERNEL_RELAY_PORTS 65536
#define KERNEL_RELAY_RING (4 << 20)       /* bytes: 200 ms of 1000 calls */
#define KERNEL_RELAY_BURST_NS 500000000LL /* as BURST_NS of endpoint.c */
#define KERNEL_RELAY_MOST_AHEAD 100       /* numbers that may be missing */
#define KERNEL_RELAY_MOST_SAMPLES 16000   /* that they may be; as FORGIVEN_TIMESTAMP of line.c */
#define KERNEL_RELAY_MAX_DELAY 16000      /* as MAX_DELAY of rtcp.c */

/* Bits of `state`. Whoever takes a packet holds BUSY; the worker takes ACTIVE away and waits until BUSY is gone. */
#define KERNEL_RELAY_ACTIVE 1ULL
#define KERNEL_RELAY_BUSY 2ULL

/* Times are CLOCK_MONOTONIC nanoseconds. */
struct kernel_flow {
    uint64_t state;
    /* Set while it is not ACTIVE. Addresses and ports as they stand in packets. */
    uint32_t from, at, source, to;
    uint16_t from_port, at_port, source_port, to_port;
    uint32_t interface; /* to send by; 0: within this machine, by loopback */
    uint32_t by;        /* by which it comes; what seems to and comes by another is the socket's, and rp_filter's */
    uint32_t ssrc_in, ssrc_out, timestamp_offset;
    uint16_t sequence_offset, length; /* length: bytes of payload, which are samples */
    uint8_t type, type_of_service;
    uint8_t copies; /* number of the ring that gets one of each packet, and one; 0: none */
    uint8_t unused;
    uint32_t priority; /* of the socket that would send it, where packets queue */
    int64_t packet_ns;
    /* What each packet moves, as endpoint.c, rtcp.c and line.c do. */
    int64_t due_at, heard_at;
    uint64_t packets; /* since it was put in */
    uint32_t highest, timestamp, transit, jitter_q4;
} __attribute__((aligned(64)));

/* What a ring has of a packet, for the recording of its call. */
#define KERNEL_RELAY_COPIED 160 /* bytes of payload, neither more nor less */

struct kernel_copy {
    uint32_t stream, unused;
    uint8_t rtp[12 + KERNEL_RELAY_COPIED];
};

#ifndef __bpf__

struct command;
struct endpoint;
struct rtp;
struct worker;

/* One for all workers of a process. */
struct kernel_relay {
    int links_count, *links; /* descriptors: who closes them, or ends, detaches the program */
    uint32_t streams;
    uint64_t *ports; /* by local port in network order: number of the stream, and one */
    struct kernel_flow *flows;
    void *object;
    uint32_t rings_count, rings_taken;
    int *rings; /* descriptors: of copies, one a worker */
};

/* Of a worker: its streams begin at `first`. */
struct kernel_share {
    struct kernel_relay *relay; /* NULL: none */
    uint32_t first, active, ring; /* ring: its number, and one; 0: none */
    void *copies;                 /* what reads the ring */
    bool drains;
    int routes_fd, changes_fd; /* netlink: questions, and what has changed */
    uint32_t question;
};

/* Of an endpoint: of the stream from its far end to its peer. */
struct kernel_stream {
    bool active;
    uint8_t type_of_service;
    uint32_t priority;
    uint16_t port;           /* of its own, with `address` as they stand in packets; 0: it can't have one */
    uint32_t address, steady; /* steady: ordinary packets in a row */
    uint32_t patience;       /* of them before the kernel is tried */
    uint64_t seen;           /* packets that are counted */
};

/* NULL: not here, with a sentence in `why`. */
struct kernel_relay *kernel_relay_open(uint32_t streams, uint32_t workers, char *why, uint32_t size);
/* No packet is taken any more; the memory stays. */
void kernel_relay_detach(struct kernel_relay *relay);
void kernel_relay_close(struct kernel_relay *relay);

/* False: out of descriptors. */
bool kernel_relay_join(struct worker *worker, struct kernel_relay *relay, uint32_t first);
void kernel_relay_leave(struct worker *worker);
void kernel_relay_endpoint(struct worker *worker, struct endpoint *endpoint, int rtp_fd);

/* An ordinary packet was passed on: the next ones may be the kernel's. */
void kernel_relay_consider(struct worker *worker, struct endpoint *from, const struct rtp *rtp);
/* Gives the copies that are there to the recordings of their calls. */
void kernel_relay_drain(struct worker *worker);
/* One of them, as the reader of the ring gives it. */
int kernel_relay_copy(void *worker, void *copy, size_t size);
/* The reader (kernel_relay_load.c), which gives all copies that are there; NULL: out of memory or descriptors. */
void *kernel_relay_open_ring(const struct kernel_relay *relay, uint32_t number, struct worker *worker);
void kernel_relay_close_ring(void *copies);
void kernel_relay_read_ring(void *copies);
/* How far has the stream from there come? */
void kernel_relay_look(struct worker *worker, struct endpoint *from);
/* The stream from there is the worker's again. */
void kernel_relay_take_back(struct worker *worker, struct endpoint *from);
/* So are both in which it has a part. */
void kernel_relay_stop(struct worker *worker, struct endpoint *endpoint);
/* Ten times a second: are the ways still what they were? */
void kernel_relay_sweep(struct worker *worker);

#endif
#endif
