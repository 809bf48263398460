/* An RTP load generator: phones on loopback that send 20 ms packets and time what comes back to their partner.
 *
 * Compiled and run by tests/bench/bench_media.py, with the codecs and the SRTP of media/native. Usage: rtp_load SECONDS,
 * with one line "LOCAL_PORT TARGET_PORT PAYLOAD_TYPE [CODEC [SUITE KEY]]" a phone on stdin: CODEC of codec.h or "-" for
 * G.711, KEY in hexadecimal digits. Phones send on a grid of 1 ms steps, each in its own step, as phones do, whatever comes
 * back. The time of sending of G.711 stands in the signs of 64 samples, which no conversion of laws changes; where a call
 * has anything else it is found by the sequence numbers, which a relay may only shift. A packet has come when the kernel
 * has it for the phone (SO_TIMESTAMPNS): how long this program takes to fetch it is no latency of the relay's. Lost is
 * what has not come though nothing else came for three seconds. Prints one line of JSON; `behind_ms`: how late it was with
 * its own steps.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../../media/native/codec.h"
#include "../../media/native/srtp.h"

#define MAX_PHONES 8192
#define STEPS 20
#define STEP_NS 1000000LL
#define SECOND_NS 1000000000LL
#define BUCKETS 1000000 /* of 10 microseconds */
#define PATIENCE_NS (3 * SECOND_NS) /* without a packet, at the end */
#define G711_PACKET 172
#define FRAME 160
#define SPEECH 50 /* frames of sound that a codec says over and over */
#define REMEMBERED 256

/* What all phones of one codec say. */
struct speech {
    const struct codec *codec;
    uint8_t payload[SPEECH][MAX_PAYLOAD];
    size_t length[SPEECH];
};

struct phone {
    int fd;
    struct sockaddr_in target;
    uint16_t sequence;
    uint32_t timestamp, ssrc;
    uint8_t payload_type;
    const struct speech *speech; /* NULL: G.711 */
    struct srtp_context *srtp;   /* NULL: plain */
    bool numbered, heard;        /* it or its partner is no plain G.711; something came */
    uint16_t first;              /* number that came first */
    int64_t sent_at[REMEMBERED];
};

static struct phone phones[MAX_PHONES];
static int phone_count, epoll_fd;
static uint64_t sent, received, send_errors;
static uint64_t latency[BUCKETS], behind[BUCKETS];

static int64_t clock_ns(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return time.tv_sec * SECOND_NS + time.tv_nsec;
}

static void count_in(uint64_t *buckets, int64_t ns)
{
    int64_t bucket = ns / 10000;
    buckets[bucket < 0 ? 0 : bucket >= BUCKETS ? BUCKETS - 1 : bucket]++;
}

static struct sockaddr_in loopback(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static const struct codec *const codecs[] = {
#ifdef HAVE_G722
    &codec_g722,
#endif
#ifdef HAVE_OPUS
    &codec_opus,
#endif
    NULL,
};
static struct speech speeches[sizeof codecs / sizeof *codecs];

/* Vowels of sorts: a voice of 120 Hz whose formants wander, so that an encoder has to work as it has for speech. */
static int16_t sound(int at)
{
    double time = at / 8000.0, sum = 0;
    for (int harmonic = 1; harmonic < 28; harmonic++) {
        double near = (120.0 * harmonic - 600 - 400 * sin(2 * M_PI * 3 * time)) / 300;
        sum += sin(2 * M_PI * 120 * harmonic * time) / (1 + near * near);
    }
    return (int16_t)(2000 * sum * (0.6 + 0.4 * sin(2 * M_PI * 4 * time)));
}

static const struct speech *speech_of(const char *name)
{
    for (int i = 0; codecs[i]; i++) {
        struct speech *speech = &speeches[i];
        if (strcmp(codecs[i]->name, name))
            continue;
        if (speech->codec)
            return speech;
        speech->codec = codecs[i];
        void *encoder = malloc(codecs[i]->encoder_size());
        codecs[i]->encoder_init(encoder);
        codecs[i]->encoder_tune(encoder, &(struct tuning){.fec = true});
        for (int frame = 0; frame < SPEECH; frame++) {
            int16_t samples[FRAME];
            for (int n = 0; n < FRAME; n++)
                samples[n] = sound(frame * FRAME + n);
            speech->length[frame] = codecs[i]->encode(encoder, samples, FRAME, speech->payload[frame]);
        }
        free(encoder);
        return speech;
    }
    fprintf(stderr, "no %s\n", name);
    exit(1);
}

static struct srtp_context *key_of(const char *suite, const char *digits)
{
    uint8_t key[64];
    size_t length = 0;
    unsigned byte;
    for (; length < sizeof key && sscanf(digits + 2 * length, "%2x", &byte) == 1; length++)
        key[length] = (uint8_t)byte;
    struct srtp_context *context = srtp_context_create(suite, key, length, true);
    if (context)
        return context;
    fprintf(stderr, "no %s\n", suite);
    exit(1);
}

/* What stands behind the payload type; phones come in pairs. */
static void equip_phone(int given, const char *codec, const char *suite, const char *key)
{
    struct phone *phone = &phones[phone_count - 1];
    phone->speech = given > 0 && strcmp(codec, "-") ? speech_of(codec) : NULL;
    phone->srtp = given > 2 ? key_of(suite, key) : NULL;
    if (phone->speech || phone->srtp)
        phone->numbered = phones[(phone_count - 1) ^ 1].numbered = true;
}

static void add_phone(int local, int target, int payload_type)
{
    struct phone *phone = &phones[phone_count];
    struct sockaddr_in address = loopback(local);
    phone->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    if (bind(phone->fd, (struct sockaddr *)&address, sizeof address) < 0) {
        perror("bind");
        exit(1);
    }
    setsockopt(phone->fd, SOL_SOCKET, SO_TIMESTAMPNS, &(int){1}, sizeof(int));
    phone->target = loopback(target);
    phone->payload_type = (uint8_t)payload_type;
    phone->ssrc = 0x10000u + (uint32_t)phone_count;
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)phone_count++};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, phone->fd, &event);
}

/* In either law: the first bit of a sample is its sign. */
static void write_time(uint8_t *samples, int64_t at)
{
    for (int bit = 0; bit < 64; bit++)
        samples[bit] = (uint8_t)((samples[bit] & 0x7F) | (at >> bit & 1) << 7);
}

static int64_t read_time(const uint8_t *samples)
{
    uint64_t at = 0;
    for (int bit = 0; bit < 64; bit++)
        at |= (uint64_t)(samples[bit] >> 7) << bit;
    return (int64_t)at;
}

static size_t write_payload(const struct phone *phone, uint8_t *payload, int64_t at)
{
    if (!phone->speech) {
        memset(payload, 0x2A, FRAME); /* loud in both laws */
        write_time(payload, at);
        return FRAME;
    }
    int frame = phone->sequence % SPEECH;
    memcpy(payload, phone->speech->payload[frame], phone->speech->length[frame]);
    return phone->speech->length[frame];
}

static void send_packet(struct phone *phone)
{
    uint8_t packet[12 + MAX_PAYLOAD + SRTP_ROOM];
    int64_t at = phone->sent_at[phone->sequence % REMEMBERED] = clock_ns(CLOCK_REALTIME);
    size_t length = 12 + write_payload(phone, packet + 12, at);
    packet[0] = 0x80;
    packet[1] = phone->payload_type;
    uint16_t sequence = htons(phone->sequence++);
    phone->timestamp += FRAME * (phone->speech ? phone->speech->codec->scale : 1u);
    uint32_t timestamp = htonl(phone->timestamp), ssrc = htonl(phone->ssrc);
    memcpy(packet + 2, &sequence, 2);
    memcpy(packet + 4, &timestamp, 4);
    memcpy(packet + 8, &ssrc, 4);
    if (phone->srtp)
        srtp_seal(phone->srtp, false, packet, &length);
    if (sendto(phone->fd, packet, length, 0, (struct sockaddr *)&phone->target, sizeof phone->target) < 0)
        send_errors++;
    sent++;
}

/* When what came to a phone was sent: below 0 where it is nothing that was. */
static int64_t sent_at(struct phone *phone, const struct phone *partner, const uint8_t *packet, ssize_t length)
{
    if (length < 13)
        return -1;
    if (!phone->numbered)
        return length == G711_PACKET ? read_time(packet + 12) : -1;
    uint16_t sequence = (uint16_t)(packet[2] << 8 | packet[3]);
    if (!phone->heard)
        phone->first = sequence;
    phone->heard = true;
    return partner->sent_at[(uint16_t)(sequence - phone->first) % REMEMBERED];
}

/* When the kernel had it; where that is not told, now. */
static int64_t come_at(struct msghdr *message)
{
    struct timespec time;
    struct cmsghdr *part = CMSG_FIRSTHDR(message);
    if (!part || part->cmsg_type != SCM_TIMESTAMPNS)
        return clock_ns(CLOCK_REALTIME);
    memcpy(&time, CMSG_DATA(part), sizeof time);
    return time.tv_sec * SECOND_NS + time.tv_nsec;
}

static void receive_one(uint32_t index)
{
    uint8_t packet[2048];
    char control[CMSG_SPACE(sizeof(struct timespec))];
    struct iovec place = {packet, sizeof packet};
    struct msghdr message = {
        .msg_iov = &place, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t length = recvmsg(phones[index].fd, &message, 0);
    int64_t at = sent_at(&phones[index], &phones[index ^ 1], packet, length);
    if (at < 0)
        return;
    count_in(latency, come_at(&message) - at);
    received++;
}

static void receive_all(void)
{
    struct epoll_event events[512];
    int count;
    do {
        count = epoll_wait(epoll_fd, events, 512, 0);
        for (int i = 0; i < count; i++)
            receive_one(events[i].data.u32);
    } while (count == 512);
}

static void sleep_until(int64_t until)
{
    struct timespec time = {.tv_sec = until / SECOND_NS, .tv_nsec = until % SECOND_NS};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL);
}

/* What is still on its way when the last packet has been sent is not lost. */
static void receive_rest(void)
{
    uint64_t before = received;
    int64_t until = clock_ns(CLOCK_MONOTONIC) + PATIENCE_NS;
    for (int64_t now; received < sent && (now = clock_ns(CLOCK_MONOTONIC)) < until; sleep_until(now + STEP_NS)) {
        receive_all();
        if (received > before)
            until = now + PATIENCE_NS;
        before = received;
    }
}

static double percentile(const uint64_t *buckets, double part)
{
    uint64_t all = 0, seen = 0;
    for (int i = 0; i < BUCKETS; i++)
        all += buckets[i];
    for (int i = 0; i < BUCKETS; i++)
        if ((seen += buckets[i]) > (uint64_t)((double)all * part))
            return i / 100.0;
    return BUCKETS / 100.0;
}

int main(int argc, char **argv)
{
    int local, target, payload_type, given;
    char line[256], codec[16], suite[32], key[129];
    double seconds = argc > 1 ? atof(argv[1]) : 10;
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    epoll_fd = epoll_create1(0);
    srtp_set_up();
    while (phone_count < MAX_PHONES && fgets(line, sizeof line, stdin)
           && (given = sscanf(line, "%d %d %d %15s %31s %128s", &local, &target, &payload_type, codec, suite, key)) >= 3) {
        add_phone(local, target, payload_type);
        equip_phone(given - 3, codec, suite, key);
    }
    int64_t start = clock_ns(CLOCK_MONOTONIC);
    int64_t steps = (int64_t)(seconds * 1000);
    for (int64_t step = 0; step < steps; step++) {
        count_in(behind, clock_ns(CLOCK_MONOTONIC) - start - step * STEP_NS);
        for (int i = (int)(step % STEPS); i < phone_count; i += STEPS)
            send_packet(&phones[i]);
        receive_all();
        sleep_until(start + (step + 1) * STEP_NS);
    }
    receive_rest();
    printf("{\"sent\": %lu, \"received\": %lu, \"send_errors\": %lu, ", sent, received, send_errors);
    printf("\"p50_ms\": %.2f, \"p99_ms\": %.2f, \"p999_ms\": %.2f, \"behind_ms\": %.2f}\n", percentile(latency, 0.5),
           percentile(latency, 0.99), percentile(latency, 0.999), percentile(behind, 0.99));
    return 0;
}
