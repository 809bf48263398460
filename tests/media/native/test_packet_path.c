/* Once a call is set up, its packets cost no allocation, no lock and no formatting, in the core or any library below it.
 *
 * Real workers on real sockets, with everything that a call can have at once; what their threads call of the C library
 * is counted by standing in its place. Compiled and run by tests/media/native/test_core.py, without sanitizers, for
 * those stand there too.
 */
#define _GNU_SOURCE /* RTLD_NEXT */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "../../../media/native/core.h"
#include "check.h"
#include "sockets.h"

#define WORKERS 2
#define CALLS 7
#define EVENTS 101
#define CODED 96
#define RELAYED 1000 /* packets that each worker has to send while it is watched */
#define PATIENCE_NS (120 * SECOND_NS)
#define STORM_NS (10 * SECOND_NS) /* for one to come: where timers are late, epoll reads too little at a time for any */

static struct worker workers[WORKERS];
static atomic_bool watching;
static atomic_uint allocations, locks, formattings;

static void count(atomic_uint *what)
{
    if (!atomic_load_explicit(&watching, memory_order_relaxed))
        return;
    for (int i = 0; i < WORKERS; i++)
        if (pthread_equal(pthread_self(), workers[i].thread))
            atomic_fetch_add(what, 1);
}

/* In the place of the C library's */

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *memory);

void *malloc(size_t size)
{
    count(&allocations);
    return __libc_malloc(size);
}

void *calloc(size_t items, size_t size)
{
    count(&allocations);
    return __libc_calloc(items, size);
}

void *realloc(void *memory, size_t size)
{
    count(&allocations);
    return __libc_realloc(memory, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    count(&allocations);
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **memory, size_t alignment, size_t size)
{
    count(&allocations);
    *memory = __libc_memalign(alignment, size);
    return *memory ? 0 : -1;
}

void free(void *memory)
{
    if (memory)
        count(&allocations);
    __libc_free(memory);
}

static int (*lock_mutex)(pthread_mutex_t *), (*lock_to_read)(pthread_rwlock_t *), (*lock_to_write)(pthread_rwlock_t *);
static int (*format)(char *, size_t, const char *, va_list);

/* Before anybody else's code runs. */
__attribute__((constructor(101))) static void find_the_librarys(void)
{
    *(void **)&lock_mutex = dlsym(RTLD_NEXT, "pthread_mutex_lock");
    *(void **)&lock_to_read = dlsym(RTLD_NEXT, "pthread_rwlock_rdlock");
    *(void **)&lock_to_write = dlsym(RTLD_NEXT, "pthread_rwlock_wrlock");
    *(void **)&format = dlsym(RTLD_NEXT, "vsnprintf");
}

int pthread_mutex_lock(pthread_mutex_t *mutex)
{
    count(&locks);
    return lock_mutex ? lock_mutex(mutex) : 0; /* before main() there is one thread */
}

int pthread_rwlock_rdlock(pthread_rwlock_t *lock)
{
    count(&locks);
    return lock_to_read ? lock_to_read(lock) : 0;
}

int pthread_rwlock_wrlock(pthread_rwlock_t *lock)
{
    count(&locks);
    return lock_to_write ? lock_to_write(lock) : 0;
}

int vsnprintf(char *text, size_t size, const char *how, va_list arguments)
{
    count(&formattings);
    return format(text, size, how, arguments);
}

int snprintf(char *text, size_t size, const char *how, ...)
{
    va_list arguments;
    va_start(arguments, how);
    int length = vsnprintf(text, size, how, arguments);
    va_end(arguments);
    return length;
}

/* Calls */

/* What a side speaks; no `codec`: G.711 of `type`. */
struct kind {
    const char *codec, *suite;
    int16_t type, events;
    uint16_t frame;
};

static const struct kind kinds[CALLS][2] = {
    {{NULL, NULL, PCMA, EVENTS, 160}, {NULL, NULL, PCMA, EVENTS, 160}},
    {{NULL, NULL, PCMA, EVENTS, 160}, {NULL, NULL, PCMU, 96, 240}}, /* other law, packets and events */
    {{NULL, NULL, PCMA, EVENTS, 160}, {NULL, NULL, PCMA, -1, 160}}, /* keys become tones, tones are listened for */
    {{NULL, "AES_CM_128_HMAC_SHA1_80", PCMA, EVENTS, 160}, {NULL, "AES_CM_128_HMAC_SHA1_32", PCMU, EVENTS, 160}},
    {{NULL, "AEAD_AES_256_GCM", PCMA, EVENTS, 160}, {NULL, NULL, PCMA, EVENTS, 160}},
    {{"G722", NULL, CODED, EVENTS, 160}, {NULL, NULL, PCMA, EVENTS, 160}},
    {{"opus", NULL, CODED, EVENTS, 160}, {NULL, NULL, PCMU, EVENTS, 160}},
};

struct phone {
    const struct kind *kind;
    const struct codec *codec;
    struct srtp_context *sealing;
    int fd;
    uint16_t port, target, sequence;
    uint32_t handle, reports;
    void *encoder;
};

static struct phone phones[WORKERS][CALLS][2];
static const uint8_t key[44] = {1};
static uint32_t digits, played, storms[WORKERS];
static uint64_t sent[WORKERS];

static bool has_suite(const char *name)
{
    for (int i = 0; name && srtp_suite(i); i++)
        if (!strcmp(srtp_suite(i), name))
            return true;
    return false;
}

static struct srtp_context *context(const char *suite, bool sending)
{
    return has_suite(suite) ? srtp_context_create(suite, key, strcmp(suite, "AEAD_AES_256_GCM") ? 30 : 44, sending) : NULL;
}

static void open_phone(struct worker *worker, struct phone *phone, const struct kind *kind, uint32_t slot)
{
    uint16_t ignored;
    phone->kind = kind;
    phone->handle = 1u << 16 | slot;
    phone->codec = kind->codec ? codec_named(kind->codec) : NULL; /* G.711 in a build without */
    phone->sealing = context(kind->suite, true);
    phone->fd = bound(&phone->port);
    if (phone->codec) {
        phone->encoder = malloc(phone->codec->encoder_size());
        phone->codec->encoder_init(phone->encoder);
    }
    struct command command = {.type = COMMAND_OPEN, .handle = phone->handle};
    command.open.rtp_fd = bound(&phone->target);
    command.open.rtcp_fd = bound(&ignored);
    command.open.ssrc = phone->handle;
    command.open.cname = slot;
    CHECK(worker_command(worker, &command));
    command = (struct command){.type = COMMAND_CONFIGURE, .handle = phone->handle};
    int16_t type = kind->codec && !phone->codec ? PCMA : kind->type;
    command.remote = (struct remote){.announced = {.rtp = local(phone->port), .mux = true}, .codec = phone->codec,
                                     .payload_type = type, .payload_type_in = type, .event_out = kind->events,
                                     .event_in = kind->events, .frame = kind->frame, .event_scale = 1, .sending = true,
                                     .receiving = true, .srtp_in = context(kind->suite, false),
                                     .srtp_out = context(kind->suite, true)};
    CHECK(worker_command(worker, &command));
}

static void record(struct worker *worker, uint32_t slot, const struct phone *pair)
{
    char path[] = "/tmp/packetpathXXXXXX";
    struct command command = {.type = COMMAND_RECORD, .handle = 1u << 16 | slot};
    command.record.left = pair[0].handle;
    command.record.right = pair[1].handle;
    command.record.voices = true;
    CHECK(worker_command(worker, &command));
    command = (struct command){.type = COMMAND_FILE, .handle = command.handle};
    command.file.fd = mkstemp(path);
    CHECK(command.file.fd >= 0 && unlink(path) == 0 && worker_command(worker, &command));
}

static void open_calls(struct worker *worker, struct phone (*calls)[2])
{
    for (uint32_t call = 0; call < CALLS; call++) {
        for (uint32_t side = 0; side < 2; side++)
            open_phone(worker, &calls[call][side], &kinds[call][side], 2 * call + side);
        struct command connect = {.type = COMMAND_CONNECT, .handle = calls[call][0].handle};
        connect.connect.other = calls[call][1].handle;
        connect.connect.digits = true;
        CHECK(worker_command(worker, &connect));
        record(worker, call, calls[call]);
    }
}

/* Over the talk of the first call, and in the place of what the second hears. */
static void play(struct worker *worker, struct phone (*calls)[2], uint32_t generation)
{
    static uint8_t prompt[4800];
    static const struct piece piece = {prompt, sizeof prompt};
    for (uint32_t call = 0; call < 2; call++) {
        struct command command = {.type = COMMAND_PLAY, .handle = generation << 16 | call};
        command.play.pieces = &piece;
        command.play.piece_count = command.play.count = 1;
        command.play.mix = !call;
        command.play.listeners[0] = calls[call][1].handle;
        CHECK(worker_command(worker, &command));
    }
}

/* Talk and packets */

static void say(struct phone *phone, uint8_t type, uint32_t timestamp, uint8_t *packet, size_t length)
{
    union address to = local(phone->target);
    size_t size = RTP_HEADER + length;
    rtp_write(packet, false, type, phone->sequence++, timestamp, phone->handle + 1000);
    if (phone->sealing)
        CHECK(srtp_seal(phone->sealing, false, packet, &size));
    sendto(phone->fd, packet, size, 0, &to.any, sizeof to.v4);
}

static void talk(struct phone *phone, uint32_t frame)
{
    int16_t linear[FRAME_SAMPLES] = {1000, 2000, 3000};
    static const uint8_t event[] = {1, 0x80 | 10, 0, 160}; /* a whole key press (RFC 4733 2.3) */
    uint8_t packet[MAX_PACKET + SRTP_ROOM] = {0}, press[RTP_HEADER + sizeof event + SRTP_ROOM];
    memcpy(press + RTP_HEADER, event, sizeof event);
    uint32_t scale = phone->codec ? codec_scale(phone->codec) : 1;
    size_t length = phone->codec ? phone->codec->encode(phone->encoder, linear, FRAME_SAMPLES, packet + RTP_HEADER)
                                 : FRAME_SAMPLES;
    uint8_t type = phone->codec ? CODED : phone->kind->type == PCMU ? PCMU : PCMA;
    if (frame % 10)
        say(phone, type, frame * FRAME_SAMPLES * scale, packet, length);
    else if (frame % 20)
        say(phone, COMFORT_NOISE, frame * FRAME_SAMPLES * scale, packet, 1);
    else if (phone->kind->events >= 0)
        say(phone, (uint8_t)phone->kind->events, frame * FRAME_SAMPLES * scale, press, sizeof event);
}

/* Reports, garbage and strangers. */
static void bother(struct phone *phone)
{
    uint8_t report[32] = {0x81, 201, 0, 7}, garbage[MAX_PACKET] = {0x9F, PCMA};
    union address to = local(phone->target);
    write32(report + 8, phone->handle);
    uint16_t port;
    int stranger = bound(&port);
    sendto(phone->fd, report, sizeof report, 0, &to.any, sizeof to.v4);
    sendto(phone->fd, garbage, sizeof garbage, 0, &to.any, sizeof to.v4);
    sendto(stranger, garbage, FRAME_SAMPLES, 0, &to.any, sizeof to.v4);
    close(stranger);
}

static void flood(const struct phone *phone)
{
    union address to = local(phone->target);
    for (int i = 0; i < 1000; i++)
        sendto(phone->fd, "", 1, 0, &to.any, sizeof to.v4);
}

static void listen_to(struct phone *phone)
{
    uint8_t packet[MAX_PACKET];
    ssize_t length;
    while ((length = recv(phone->fd, packet, sizeof packet, 0)) > 0)
        phone->reports += packet[1] == 200 || packet[1] == 201;
}

static void drain(int worker)
{
    struct ring *rings[] = {&workers[worker].events, &workers[worker].writer.events};
    const struct event *event;
    for (int ring = 0; ring < 2; ring++)
        for (; (event = ring_peek(rings[ring])); ring_pop(rings[ring])) {
            digits += event->type == EVENT_DIGIT;
            played += event->type == EVENT_PLAYED;
            if (event->type != EVENT_TOTALS)
                continue;
            sent[worker] = event->totals.packets_out;
            storms[worker] = (uint32_t)event->totals.storms;
        }
}

static void round_of_talk(uint32_t frame)
{
    for (int i = 0; i < WORKERS; i++) {
        for (uint32_t call = 0; call < CALLS; call++)
            for (uint32_t side = 0; side < 2; side++) {
                talk(&phones[i][call][side], frame);
                listen_to(&phones[i][call][side]);
            }
        drain(i);
    }
    usleep(20000);
}

static bool reported(int worker)
{
    for (uint32_t call = 0; call < CALLS; call++)
        for (uint32_t side = 0; side < 2; side++)
            if (!phones[worker][call][side].reports)
                return false;
    return true;
}

static void set_up(const char *io)
{
    static const char *const fallback = "epoll";
    int event_fd = eventfd(0, EFD_NONBLOCK);
    srtp_set_up();
    g711_init();
    dtmf_init();
    for (int i = 0; i < WORKERS; i++) {
        CHECK(worker_start(&workers[i], 64, SECOND_NS, SECOND_NS / 500, event_fd, i ? io : fallback));
        open_calls(&workers[i], phones[i]);
    }
}

static void watch(void)
{
    uint64_t before[WORKERS];
    memcpy(before, sent, sizeof before);
    int64_t began = clock_ns(), until = began + PATIENCE_NS;
    uint32_t frame = 50, presses = digits;
    bool enough = false;
    atomic_store(&watching, true);
    for (int i = 0; i < WORKERS; i++)
        play(&workers[i], phones[i], 1);
    while (!enough && clock_ns() < until) {
        for (int i = 0; i < WORKERS; i++) {
            if (frame % 10 == 0)
                bother(&phones[i][frame / 10 % CALLS][0]);
            if (!storms[i])
                flood(&phones[i][0][0]);
        }
        round_of_talk(frame++);
        enough = digits > presses && played == 2 * WORKERS;
        for (int i = 0; i < WORKERS; i++)
            enough &= sent[i] - before[i] >= RELAYED && (storms[i] || clock_ns() - began > STORM_NS) && reported(i);
    }
    atomic_store(&watching, false);
    CHECK(enough);
}

/* With "epoll" only that. */
int main(int argc, char **argv)
{
    set_up(argc > 1 ? argv[1] : "auto");
    for (uint32_t frame = 0; frame < 50; frame++) /* SSRCs and their SRTP become known */
        round_of_talk(frame);
    watch();
    CHECK(allocations == 0);
    CHECK(locks == 0);
    CHECK(formattings == 0);
    for (int i = 0; i < WORKERS; i++)
        CHECK(worker_stop(&workers[i], 60 * SECOND_NS));
    void *volatile memory; /* what counts does count */
    workers[0].thread = pthread_self();
    atomic_store(&watching, true);
    memory = malloc(1);
    free(memory);
    CHECK(allocations == 2);
    puts("ok");
    return 0;
}
