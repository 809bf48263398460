/* What the unit tests of the native core share: a fake io whose packets land in an array, steps, and the clock by hand.
 *
 * Included by the test programs that fake io; worker.c is included for its private parts.
 */
#include <stdio.h>
#include <string.h>

#include "../../../media/native/worker.c"
#include "check.h"

#define SENT 65536

struct sent {
    uint32_t slot;
    bool rtcp;
    size_t length;
    union address to;
    int64_t at;
    uint8_t data[MAX_PACKET];
};

static struct worker worker;
static struct sent sent[SENT];
static uint32_t sent_count;
static uint8_t scratch[MAX_PACKET];
static uint32_t seed = 1, pauses, resumptions;
static int64_t waited_until;
static uint32_t arriving; /* packets that the next fake_receive() finds */
static bool deaf; /* sockets can't be opened */

/* Instead of io_*.c */

static bool fake_open(struct io *io, uint32_t slot, int rtp_fd, int rtcp_fd)
{
    return io && rtp_fd == rtcp_fd && slot < 16 && !deaf;
}

static void fake_close(struct io *io, uint32_t slot)
{
    CHECK(io && slot < 16);
}

static void fake_wait(struct io *io, int64_t until)
{
    CHECK(io);
    waited_until = until;
}

static void fake_receive(struct io *io, struct worker *of)
{
    CHECK(io && of);
    for (; arriving; arriving--)
        endpoint_receive(of, 0, false, (uint8_t[]){0}, 1, &(union address){.v4.sin_family = AF_INET});
}

static uint8_t *fake_scratch(struct io *io)
{
    CHECK(io);
    return scratch;
}

static void fake_send(struct io *io, uint32_t slot, bool rtcp, const uint8_t *data, size_t length,
                      const union address *to)
{
    CHECK(io && to->v4.sin_port && length <= MAX_PACKET);
    struct sent *packet = &sent[sent_count++ % SENT];
    packet->slot = slot;
    packet->rtcp = rtcp;
    packet->length = length;
    packet->to = *to;
    packet->at = worker.now;
    memcpy(packet->data, data, length);
}

static void fake_pause(struct io *io, uint32_t slot, bool paused)
{
    CHECK(io && slot < 16);
    pauses += paused;
    resumptions += !paused;
}

static const struct io_kind fake_kind = {
    .name = "fake", .open = fake_open, .close = fake_close, .wait = fake_wait, .receive = fake_receive, .scratch = fake_scratch,
    .send = fake_send, .pause = fake_pause};
static struct io fake_io = {&fake_kind};

struct io *io_create(uint32_t capacity, int wake_fd, const char *name)
{
    return capacity && wake_fd && name ? &fake_io : NULL;
}

const struct io_kind io_epoll, io_uring;

/* Steps */

static uint32_t chance(uint32_t below)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % below;
}

static union address host_at(uint32_t host, uint16_t port)
{
    union address address = {.v4 = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(host)}};
    return address;
}

static union address phone(uint32_t slot)
{
    return host_at(INADDR_LOOPBACK, (uint16_t)(4000 + 2 * slot));
}

static union address rtcp_of(union address address)
{
    address_set_port(&address, (uint16_t)(address_port(&address) + 1));
    return address;
}

/* What SDP says of a phone at `address` that wants packets of 20 ms. */
static struct remote remote_at(union address address, int payload_type, int event)
{
    return (struct remote){
        .announced = {.rtp = address, .rtcp_port = (uint16_t)(address_port(&address) + 1)},
        .payload_type = (int16_t)payload_type,
        .payload_type_in = (int16_t)payload_type,
        .event_out = (int16_t)event,
        .event_in = (int16_t)event,
        .frame = FRAME_SAMPLES,
        .sending = true,
        .receiving = true,
    };
}

static uint32_t open_endpoint(uint32_t slot, int payload_type, int event)
{
    struct command open = {.type = COMMAND_OPEN, .handle = 1u << 16 | slot};
    open.open.ssrc = 100 + slot;
    open.open.sequence = 65530;
    open.open.timestamp = 0xFFFFFF00u;
    worker_obey(&worker, &open);
    struct command configure = {.type = COMMAND_CONFIGURE, .handle = open.handle};
    configure.remote = remote_at(phone(slot), payload_type, event);
    worker_obey(&worker, &configure);
    return open.handle;
}

/* What io promises behind a packet, where that is made use of. */
static size_t room_behind(uint32_t slot)
{
    uint32_t peer = worker.endpoints[slot].peer;
    return peer != NONE && worker.endpoints[peer].srtp_out ? SRTP_ROOM : 0;
}

static bool marked; /* the next packet has the marker */

static void give_from(union address from, uint32_t slot, uint8_t type, uint16_t sequence, uint32_t timestamp,
                      const uint8_t *payload, size_t length)
{
    uint8_t *packet = malloc(RTP_HEADER + length + room_behind(slot)); /* else exactly as long as it is: the sanitizer sees every step beyond */
    rtp_write(packet, marked, type, sequence, timestamp, 7);
    marked = false;
    memcpy(packet + RTP_HEADER, payload, length);
    endpoint_receive(&worker, slot, false, packet, RTP_HEADER + length, &from);
    free(packet);
}

static void give(uint32_t slot, uint8_t type, uint16_t sequence, uint32_t timestamp, const uint8_t *payload, size_t length)
{
    give_from(phone(slot), slot, type, sequence, timestamp, payload, length);
}

static void give_talk(uint32_t slot, uint16_t index)
{
    uint8_t payload[FRAME_SAMPLES];
    memset(payload, 0x55, sizeof payload);
    give(slot, PCMA, (uint16_t)(65000 + index), 160u * index, payload, sizeof payload);
}

/* The file of a recording is open; fd -1: it can't be opened. */
static void give_file(uint32_t handle, int fd)
{
    struct command file = {.type = COMMAND_FILE, .handle = handle, .file.fd = fd};
    worker_obey(&worker, &file);
}

static uint16_t sent_sequence(uint32_t index)
{
    return read16(sent[index].data + 2);
}

static uint32_t sent_timestamp(uint32_t index)
{
    return read32(sent[index].data + 4);
}

static void start(void)
{
    memset(&worker, 0, sizeof worker);
    worker.capacity = 16;
    worker.now = SECOND_NS;
    worker.stop_by = INT64_MAX;
    worker.silence_ns = SECOND_NS;
    worker.packet_ns = SECOND_NS / 500;
    worker.io = &fake_io;
    g711_init();
    dtmf_init();
    CHECK(worker_pools(&worker));
    CHECK(ring_create(&worker.writer.requests, 64, sizeof(struct write_request)));
    worker.writer.wake_fd = eventfd(0, EFD_NONBLOCK);
    sent_count = 0;
}

static void finish(void)
{
    worker_close_all(&worker);
    close(worker.writer.wake_fd);
    ring_destroy(&worker.writer.requests);
    ring_destroy(&worker.commands);
    ring_destroy(&worker.events);
    free(worker.endpoints);
    free(worker.playbacks);
    free(worker.recordings);
    free(worker.dtmf);
    free(worker.coders);
    free(worker.open.slot);
    free(worker.keys.slot);
    free(worker.playing.slot);
    free(worker.recording.slot);
}

static void join(uint32_t a, uint32_t b)
{
    struct command connect = {.type = COMMAND_CONNECT, .handle = a};
    connect.connect.other = b;
    connect.connect.digits = true;
    worker_obey(&worker, &connect);
}

static uint32_t count_events(enum event_type type)
{
    uint32_t count = 0;
    const struct event *event;
    while ((event = ring_peek(&worker.events))) {
        count += event->type == type;
        ring_pop(&worker.events);
    }
    return count;
}

static void drain_writer(void)
{
    const struct write_request *request;
    while ((request = ring_peek(&worker.writer.requests)))
        ring_pop(&worker.writer.requests);
}
