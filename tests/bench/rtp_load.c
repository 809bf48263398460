/* An RTP load generator: phones on loopback that send 20 ms packets of G.711 and time what comes back to their partner.
 *
 * Compiled and run by tests/bench/bench_media.py. Usage: rtp_load SECONDS, with one line "LOCAL_PORT TARGET_PORT
 * PAYLOAD_TYPE" a phone on stdin. Phones send on a grid of 1 ms steps, each in its own step, as phones do, whatever comes
 * back. The time of sending stands in the signs of 64 samples, which no conversion of laws changes. Prints one line of JSON.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_PHONES 8192
#define STEPS 20
#define STEP_NS 1000000LL
#define SECOND_NS 1000000000LL
#define BUCKETS 20000 /* of 10 microseconds */

struct phone {
    int fd;
    struct sockaddr_in target;
    uint16_t sequence;
    uint32_t timestamp, ssrc;
    uint8_t payload_type;
};

static struct phone phones[MAX_PHONES];
static int phone_count, epoll_fd;
static uint64_t sent, received, send_errors;
static uint64_t latency[BUCKETS];

static int64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * SECOND_NS + time.tv_nsec;
}

static struct sockaddr_in loopback(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
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

static void send_packet(struct phone *phone)
{
    uint8_t packet[172];
    int64_t at = now_ns();
    memset(packet, 0x2A, sizeof packet); /* loud in both laws */
    packet[0] = 0x80;
    packet[1] = phone->payload_type;
    uint16_t sequence = htons(phone->sequence++);
    uint32_t timestamp = htonl(phone->timestamp += 160), ssrc = htonl(phone->ssrc);
    memcpy(packet + 2, &sequence, 2);
    memcpy(packet + 4, &timestamp, 4);
    memcpy(packet + 8, &ssrc, 4);
    write_time(packet + 12, at);
    if (sendto(phone->fd, packet, sizeof packet, 0, (struct sockaddr *)&phone->target, sizeof phone->target) < 0)
        send_errors++;
    sent++;
}

static void receive_all(void)
{
    struct epoll_event events[512];
    int count;
    do {
        count = epoll_wait(epoll_fd, events, 512, 0);
        for (int i = 0; i < count; i++) {
            uint8_t packet[2048];
            ssize_t length = recv(phones[events[i].data.u32].fd, packet, sizeof packet, 0);
            if (length != 172)
                continue;
            int64_t bucket = (now_ns() - read_time(packet + 12)) / 10000;
            latency[bucket < 0 ? 0 : bucket >= BUCKETS ? BUCKETS - 1 : bucket]++;
            received++;
        }
    } while (count == 512);
}

static double percentile(double part)
{
    uint64_t wanted = (uint64_t)((double)received * part), seen = 0;
    for (int i = 0; i < BUCKETS; i++)
        if ((seen += latency[i]) > wanted)
            return i / 100.0;
    return BUCKETS / 100.0;
}

int main(int argc, char **argv)
{
    int local, target, payload_type;
    double seconds = argc > 1 ? atof(argv[1]) : 10;
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    epoll_fd = epoll_create1(0);
    while (phone_count < MAX_PHONES && scanf("%d %d %d", &local, &target, &payload_type) == 3)
        add_phone(local, target, payload_type);
    int64_t start = now_ns();
    int64_t steps = (int64_t)(seconds * 1000);
    for (int64_t step = 0; step < steps + 200; step++) {
        if (step < steps)
            for (int i = (int)(step % STEPS); i < phone_count; i += STEPS)
                send_packet(&phones[i]);
        receive_all();
        int64_t until = start + (step + 1) * STEP_NS;
        struct timespec time = {.tv_sec = until / SECOND_NS, .tv_nsec = until % SECOND_NS};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL);
    }
    printf("{\"sent\": %lu, \"received\": %lu, \"send_errors\": %lu, \"p50_ms\": %.2f, \"p99_ms\": %.2f, \"p999_ms\": %.2f}\n",
           (unsigned long)sent, (unsigned long)received, (unsigned long)send_errors, percentile(0.5), percentile(0.99),
           percentile(0.999));
    return 0;
}
