/* What the tests of the kernel's relay share: a call of two whose packets come by the program in the kernel, if there is
 * one, and by the socket if it leaves them. What the program sends on lies among the packets sent.
 *
 * Included behind steps.h.
 */
#ifndef KERNEL_CALLS_H
#define KERNEL_CALLS_H

#include "kernel_program.h"
#include "sockets.h"

#define HEADERS 54
#define LOOPBACK 1
#define MARK (46 << 2)
#define STEADY 10
#define HANDLE(slot) (1u << 16 | (slot))

static struct kernel_relay relay;
static int fds[16];
static uint16_t ports_of[16]; /* in the order of the network */
static bool copied_at_once; /* copies don't wait for a tick */
static uint32_t by_kernel; /* packets that the program took */
static struct frame frame = {.interface = LOOPBACK};

/* In the place of kernel_relay_load.c. */

void *kernel_relay_open_ring(const struct kernel_relay *of, uint32_t number, struct worker *reader)
{
    return of == &relay && !number ? reader : NULL;
}

void kernel_relay_close_ring(void *copies)
{
    CHECK(copies == &worker);
}

void kernel_relay_read_ring(void *copies)
{
    program_read_ring(kernel_relay_copy, copies);
}

/* Of its own: with the kernel and without, the story is the same. */
static uint32_t wire_chance(uint32_t below)
{
    static uint32_t state = 1;
    state = state * 1664525u + 1013904223u;
    return (state >> 8) % below;
}

static void relay_open(void)
{
    relay = (struct kernel_relay){.streams = 16, .rings_count = 1};
    relay.ports = calloc(KERNEL_RELAY_PORTS, sizeof *relay.ports);
    relay.flows = aligned_alloc(64, 16 * sizeof *relay.flows);
    memset(relay.flows, 0, 16 * sizeof *relay.flows);
    program_load(relay.ports, relay.flows, relay.streams);
    by_kernel = 0;
    CHECK(kernel_relay_join(&worker, &relay, 0));
}

static void relay_close(void)
{
    for (uint32_t port = 0; port < KERNEL_RELAY_PORTS; port++)
        CHECK(!relay.ports[port]);
    kernel_relay_leave(&worker);
    free(relay.ports);
    free(relay.flows);
}

/* An endpoint with a socket of its own, which nothing is sent by. */
static void open_at(uint32_t slot, const struct remote *remote)
{
    if (!fds[slot]) {
        fds[slot] = bound(&ports_of[slot]);
        CHECK(!setsockopt(fds[slot], IPPROTO_IP, IP_TOS, &(int){MARK}, sizeof(int)));
    }
    struct command open = {.type = COMMAND_OPEN, .handle = HANDLE(slot)};
    open.open.rtp_fd = open.open.rtcp_fd = fds[slot];
    open.open.ssrc = 100 + slot;
    open.open.sequence = (uint16_t)(65500 + slot);
    open.open.timestamp = 0xFFFFFF00u;
    open.open.cname = 5 + slot;
    worker_obey(&worker, &open);
    struct command configure = {.type = COMMAND_CONFIGURE, .handle = HANDLE(slot), .remote = *remote};
    worker_obey(&worker, &configure);
}

static struct remote plain(uint32_t slot, uint16_t samples)
{
    struct remote remote = remote_at(phone(slot), PCMA, 101);
    remote.frame = samples;
    return remote;
}

static uint16_t sum_of(const uint8_t *data, size_t length, uint32_t sum)
{
    for (size_t i = 0; i < length; i++)
        sum += i % 2 ? data[i] : (uint32_t)data[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xFFFF) + (sum >> 16);
    return (uint16_t)sum;
}

/* Of the UDP packet and what it is addressed with: 0xFFFF where it is right. */
static uint16_t udp_sum(const uint8_t *ip)
{
    uint16_t length = read16(ip + 24);
    return sum_of(ip + 20, length, (uint32_t)sum_of(ip + 12, 8, 17u + length));
}

/* An Ethernet frame around what has come at a port of ours; who asks for none gets no UDP checksum. */
static size_t frame_write(uint8_t *at, const union address *from, const union address *to, const uint8_t *data, size_t length,
                          bool checksum)
{
    memset(at, 0, HEADERS);
    at[12] = 8;
    uint8_t *ip = at + 14, *udp = ip + 20;
    ip[0] = 0x45;
    write16(ip + 2, (uint16_t)(28 + length));
    write16(ip + 4, (uint16_t)wire_chance(65536));
    ip[8] = (uint8_t)(2 + wire_chance(250));
    ip[9] = 17;
    memcpy(ip + 12, &from->v4.sin_addr, 4);
    memcpy(ip + 16, &to->v4.sin_addr, 4);
    write16(ip + 10, (uint16_t)~sum_of(ip, 20, 0));
    memcpy(udp, &from->v4.sin_port, 2);
    memcpy(udp + 2, &to->v4.sin_port, 2);
    write16(udp + 4, (uint16_t)(8 + length));
    memcpy(udp + 8, data, length);
    uint16_t sum = (uint16_t)~udp_sum(ip);
    write16(udp + 6, checksum ? (sum ? sum : 0xFFFF) : 0);
    return 42 + length;
}

/* What the program has sent on lies among what was sent. */
static void note_sent(uint32_t slot, const uint8_t *ip, bool checksum)
{
    CHECK(sum_of(ip, 20, 0) == 0xFFFF && !read16(ip + 4) && read16(ip + 6) == 0x4000); /* no identification, don't fragment */
    CHECK(checksum ? udp_sum(ip) == 0xFFFF : !read16(ip + 26));
    struct sent *packet = &sent[sent_count++ % SENT];
    memset(packet, 0, sizeof *packet);
    packet->slot = slot;
    packet->length = read16(ip + 24) - 8u;
    packet->to.v4.sin_family = AF_INET;
    memcpy(&packet->to.v4.sin_addr, ip + 16, 4);
    memcpy(&packet->to.v4.sin_port, ip + 22, 2);
    packet->at = worker.now;
    memcpy(packet->data, ip + 28, packet->length);
    by_kernel++;
}

/* True: the program took it. */
static bool offer(uint32_t slot, const union address *from, const uint8_t *data, size_t length)
{
    uint8_t wire[MAX_PACKET + HEADERS] __attribute__((aligned(16))), *start = wire + 2; /* headers on words */
    bool checksum = wire_chance(4);
    union address to = local(ports_of[slot]);
    frame.data = start;
    frame.length = (unsigned)frame_write(start, from, &to, data, length, checksum);
    frame.now = worker.now;
    if (from->any.sa_family != AF_INET || program_run(&frame) == PROGRAM_NEXT)
        return false;
    note_sent(worker.endpoints[slot].peer, start + 14, checksum);
    return true;
}

static void arrive(uint32_t slot, union address from, uint8_t *data, size_t length)
{
    if (!worker.kernel.relay || !offer(slot, &from, data, length))
        endpoint_receive(&worker, slot, false, data, length, &from);
    if (copied_at_once)
        kernel_relay_drain(&worker);
}

/* A phone that talks. */
static struct talker {
    uint16_t sequence, samples;
    uint32_t timestamp, ssrc;
    uint8_t type;
    bool marker;
} talkers[16];

static void packet_of(uint32_t slot, union address from, uint8_t type, uint16_t sequence, uint32_t timestamp, size_t length)
{
    uint8_t *packet = malloc(RTP_HEADER + length + room_behind(slot));
    rtp_write(packet, talkers[slot].marker, type, sequence, timestamp, talkers[slot].ssrc);
    memset(packet + RTP_HEADER, sequence, length);
    talkers[slot].marker = false;
    arrive(slot, from, packet, RTP_HEADER + length);
    free(packet);
}

static void next_packet(uint32_t slot)
{
    struct talker *talker = &talkers[slot];
    packet_of(slot, phone(slot), talker->type, talker->sequence++, talker->timestamp, talker->samples);
    talker->timestamp += talker->samples;
}

/* By a way that is not the program's. */
static void by_socket_only(uint32_t slot)
{
    struct talker *talker = &talkers[slot];
    uint8_t packet[RTP_HEADER + MAX_FRAME] = {0};
    union address from = phone(slot);
    rtp_write(packet, false, talker->type, talker->sequence++, talker->timestamp, talker->ssrc);
    talker->timestamp += talker->samples;
    endpoint_receive(&worker, slot, false, packet, RTP_HEADER + talker->samples, &from);
}

static void talk(uint32_t slot, uint32_t packets)
{
    for (; packets; packets--) {
        worker.now += talkers[slot].samples * SAMPLE_NS;
        next_packet(slot);
    }
}

/* Endpoints 0 and 1, joined, with packets of so many samples on both sides; nobody has talked yet. */
static void call_of(uint16_t samples, bool in_kernel)
{
    start();
    memset(sent, 0, sizeof sent);
    if (in_kernel)
        relay_open();
    for (uint32_t slot = 0; slot < 2; slot++) {
        talkers[slot] = (struct talker){(uint16_t)(65400 + slot), samples, 0xFFFFE000u + slot, 7 + slot, PCMA, false};
        struct remote remote = plain(slot, samples);
        open_at(slot, &remote);
    }
    join(HANDLE(0), HANDLE(1));
}

static void call_over(void)
{
    bool in_kernel = worker.kernel.relay;
    drain_writer();
    finish();
    CHECK(!worker.kernel.active);
    if (in_kernel)
        relay_close();
}

static bool active(uint32_t slot)
{
    CHECK(worker.kernel.active
          == (uint32_t)(worker.endpoints[0].kernel.active + worker.endpoints[1].kernel.active + worker.endpoints[2].kernel.active));
    return worker.endpoints[slot].kernel.active;
}

static void obey(enum command_type type, uint32_t handle)
{
    struct command command = {.type = type, .handle = handle};
    if (type == COMMAND_DISCONNECT)
        command.connect.other = handle; /* from whomever it has */
    worker_obey(&worker, &command);
}

static void agree(uint32_t slot, const struct remote *remote)
{
    struct command configure = {.type = COMMAND_CONFIGURE, .handle = HANDLE(slot), .remote = *remote};
    worker_obey(&worker, &configure);
}

#endif
