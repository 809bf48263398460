/* Two workers with their writers on real sockets and files under the thread sanitizer: nothing is shared but the rings. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "../../../media/native/core.h"
#include "check.h"
#include "sockets.h"

#define WORKERS 2
#define ROUNDS 5
#define FRAMES 25

static struct worker workers[WORKERS];
static const char *kinds[WORKERS] = {"epoll", "auto"}; /* io_uring where the kernel has it */
static struct prompt {
    struct piece piece;
    uint8_t samples[800];
} *prompts[WORKERS][ROUNDS + 1];
static uint32_t closed, recorded, played;

struct phone {
    int fd;
    uint16_t port, target;
    uint32_t handle;
};

/* Made by this thread, used and let go by the worker's: what we send is SRTP. NULL in a build without. */
static struct srtp_context *protection(void)
{
    static const uint8_t key[30] = {1};
    return srtp_suite(0) ? srtp_context_create("AES_CM_128_HMAC_SHA1_80", key, sizeof key, true) : NULL;
}

static struct phone open_phone(struct worker *worker, uint32_t handle, int event)
{
    struct phone phone = {.handle = handle};
    uint16_t ignored;
    phone.fd = bound(&phone.port);
    struct command open = {.type = COMMAND_OPEN, .handle = handle};
    open.open.rtp_fd = bound(&phone.target);
    open.open.rtcp_fd = bound(&ignored);
    open.open.ssrc = handle;
    CHECK(worker_command(worker, &open));
    struct command configure = {.type = COMMAND_CONFIGURE, .handle = handle};
    configure.remote = (struct remote){.announced.rtp = local(phone.port), .payload_type = PCMA, .event_out = (int16_t)event,
                                       .event_in = (int16_t)event, .frame = FRAME_SAMPLES, .sending = true,
                                       .receiving = true, .srtp_out = protection()};
    CHECK(worker_command(worker, &configure));
    return phone;
}

static void talk(const struct phone *phone, uint16_t index, uint8_t type)
{
    uint8_t packet[RTP_HEADER + FRAME_SAMPLES] = {0};
    union address to = local(phone->target);
    rtp_write(packet, false, type, index, index * FRAME_SAMPLES, phone->handle + 1000);
    size_t length = type == PCMA ? sizeof packet : RTP_HEADER + 4;
    CHECK(sendto(phone->fd, packet, length, 0, (struct sockaddr *)&to.v4, sizeof to.v4) == (ssize_t)length);
}

static void drain(void)
{
    for (int i = 0; i < WORKERS; i++) {
        struct ring *rings[] = {&workers[i].events, &workers[i].writer.events};
        for (int ring = 0; ring < 2; ring++) {
            const struct event *event;
            while ((event = ring_peek(rings[ring]))) {
                closed += event->type == EVENT_CLOSED;
                recorded += event->type == EVENT_RECORDED && event->recorded.samples > 0 && !event->recorded.truncated;
                if (event->type == EVENT_PLAYED) { /* nobody reads it any more */
                    free(prompts[i][event->handle >> 16]);
                    prompts[i][event->handle >> 16] = NULL;
                    played++;
                }
                ring_pop(rings[ring]);
            }
        }
    }
}

/* SRTP begins anew in mid-call: the worker lets go of what it had. */
static void agree_anew(struct worker *worker, const struct phone *phone)
{
    struct command configure = {.type = COMMAND_CONFIGURE, .handle = phone->handle};
    configure.remote = (struct remote){.announced.rtp = local(phone->port), .payload_type = PCMU, .event_out = 101,
                                       .event_in = 101, .frame = FRAME_SAMPLES, .sending = true, .receiving = true,
                                       .srtp_out = protection()};
    CHECK(worker_command(worker, &configure));
}

/* One call: announced, recorded, talked and keyed in, agreed on anew, closed from one end. */
static void call(struct worker *worker, uint32_t generation)
{
    struct prompt *prompt = prompts[worker - workers][generation] = calloc(1, sizeof *prompt);
    CHECK(prompt);
    prompt->piece = (struct piece){prompt->samples, sizeof prompt->samples};
    char path[] = "/tmp/threadsXXXXXX";
    struct phone a = open_phone(worker, generation << 16, 101), b = open_phone(worker, generation << 16 | 1, -1);
    struct command record = {.type = COMMAND_RECORD, .handle = generation << 16};
    record.record.left = a.handle;
    record.record.right = b.handle;
    record.record.voices = true;
    CHECK(worker_command(worker, &record));
    struct command file = {.type = COMMAND_FILE, .handle = record.handle};
    file.file.fd = mkstemp(path);
    CHECK(file.file.fd >= 0 && unlink(path) == 0);
    CHECK(worker_command(worker, &file));
    struct command connect = {.type = COMMAND_CONNECT, .handle = a.handle};
    connect.connect.other = b.handle;
    connect.connect.digits = true;
    CHECK(worker_command(worker, &connect));
    struct command play = {.type = COMMAND_PLAY, .handle = generation << 16};
    play.play.pieces = &prompt->piece;
    play.play.piece_count = 1;
    play.play.mix = generation % 2;
    play.play.count = 2;
    play.play.listeners[0] = a.handle;
    play.play.listeners[1] = b.handle;
    CHECK(worker_command(worker, &play));
    for (uint16_t index = 0; index < FRAMES; index++) {
        talk(&a, index, index % 10 == 9 ? 101 : PCMA);
        talk(&b, index, PCMA);
        if (index == FRAMES / 2)
            agree_anew(worker, &a);
        drain();
        usleep(10000);
    }
    for (int64_t seen = atomic_load(&worker->ticked_at); atomic_load(&worker->ticked_at) == seen;)
        usleep(1000); /* it can be seen to live */
    struct command stop = {.type = COMMAND_CLOSE, .handle = a.handle};
    CHECK(worker_command(worker, &stop));
    stop.handle = b.handle;
    CHECK(worker_command(worker, &stop));
    close(a.fd);
    close(b.fd);
}

/* With "epoll" only that. */
int main(int argc, char **argv)
{
    if (argc > 1)
        kinds[1] = argv[1];
    int event_fd = eventfd(0, EFD_NONBLOCK);
    srtp_set_up();
    g711_init();
    dtmf_init();
    for (int i = 0; i < WORKERS; i++)
        CHECK(worker_start(&workers[i], 16, SECOND_NS, SECOND_NS / 500, event_fd, kinds[i]));
    for (uint32_t round = 1; round <= ROUNDS; round++)
        for (int i = 0; i < WORKERS; i++)
            call(&workers[i], round);
    while (recorded < WORKERS * ROUNDS || closed < 2 * WORKERS * ROUNDS || played < WORKERS * ROUNDS) {
        drain();
        usleep(1000);
    }
    int policy;
    struct sched_param parameters;
    if (worker_take_precedence(&workers[0])) /* where we may */
        CHECK(pthread_getschedparam(workers[0].thread, &policy, &parameters) == 0 && policy == SCHED_RR);
    for (int i = 0; i < WORKERS; i++)
        CHECK(worker_stop(&workers[i], 60 * SECOND_NS));
    close(event_fd);
    puts("ok");
    return 0;
}
