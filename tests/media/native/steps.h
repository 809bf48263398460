/* What the unit tests of the native core share: a fake io whose packets land in an array, steps, and the clock by hand.
 *
 * Included by test_core.c only; worker.c is included for its private parts.
 */
#include <stdio.h>
#include <string.h>

#include "../../../media/native/worker.c"

#define SENT 65536

#define CHECK(condition)                                                      \
    do {                                                                      \
        if (!(condition)) {                                                   \
            fprintf(stderr, "%s:%d: %s\n", __func__, __LINE__, #condition);   \
            exit(1);                                                          \
        }                                                                     \
    } while (0)

struct sent {
    uint32_t slot;
    bool rtcp;
    size_t length;
    uint8_t data[MAX_PACKET];
};

static struct worker worker;
static struct sent sent[SENT];
static uint32_t sent_count;
static uint8_t scratch[MAX_PACKET];
static uint32_t seed = 1;

/* Instead of io_*.c */

static bool fake_open(struct io *io, uint32_t slot, int rtp_fd, int rtcp_fd)
{
    return io && rtp_fd == rtcp_fd && slot < 16;
}

static void fake_close(struct io *io, uint32_t slot)
{
    CHECK(io && slot < 16);
}

static uint8_t *fake_scratch(struct io *io)
{
    CHECK(io);
    return scratch;
}

static void fake_send(struct io *io, uint32_t slot, bool rtcp, const uint8_t *data, size_t length,
                      const struct sockaddr_in *to)
{
    CHECK(io && to->sin_port && length <= MAX_PACKET);
    struct sent *packet = &sent[sent_count++ % SENT];
    packet->slot = slot;
    packet->rtcp = rtcp;
    packet->length = length;
    memcpy(packet->data, data, length);
}

static const struct io_kind fake_kind = {
    .name = "fake", .open = fake_open, .close = fake_close, .scratch = fake_scratch, .send = fake_send};
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

static struct sockaddr_in phone(uint32_t slot)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)(4000 + 2 * slot))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static uint32_t open_endpoint(uint32_t slot, int payload_type, int event)
{
    struct command open = {.type = COMMAND_OPEN, .handle = 1u << 16 | slot};
    open.open.ssrc = 100 + slot;
    open.open.sequence = 65530;
    open.open.timestamp = 0xFFFFFF00u;
    worker_obey(&worker, &open);
    struct command configure = {.type = COMMAND_CONFIGURE, .handle = open.handle};
    configure.remote = (struct remote){phone(slot), (int16_t)payload_type, (int16_t)event, (int16_t)event, true, true, false};
    worker_obey(&worker, &configure);
    return open.handle;
}

static void give_from(struct sockaddr_in from, uint32_t slot, uint8_t type, uint16_t sequence, uint32_t timestamp,
                      const uint8_t *payload, size_t length)
{
    uint8_t *packet = malloc(RTP_HEADER + length); /* exactly as long as it is: the sanitizer sees every step beyond */
    rtp_write(packet, false, type, sequence, timestamp, 7);
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
    worker.silence_ns = SECOND_NS;
    worker.io = &fake_io;
    g711_init();
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
    free(worker.open.slot);
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
