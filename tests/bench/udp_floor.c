/* What the kernel itself needs for one relayed packet: receive 172 bytes over UDP on loopback and send them on.
 *
 * Compiled and run by tests/bench/bench_media.py. A child plays the phones: it sends in bursts and reads what comes back;
 * the parent, which alone is measured, does nothing but recvfrom and sendto. Prints CPU microseconds a packet.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PACKETS 200000
#define BURST 32

static int bound(struct sockaddr_in *address)
{
    socklen_t length = sizeof *address;
    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (bind(fd, (struct sockaddr *)address, sizeof *address) < 0 || getsockname(fd, (struct sockaddr *)address, &length))
        exit(1);
    return fd;
}

static void play_phones(int fd, const struct sockaddr_in *relay)
{
    char packet[172] = {0};
    for (;;) {
        for (int i = 0; i < BURST; i++)
            sendto(fd, packet, sizeof packet, 0, (const struct sockaddr *)relay, sizeof *relay);
        for (int i = 0; i < BURST; i++)
            recv(fd, packet, sizeof packet, 0);
    }
}

static double cpu_us(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6
           + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

int main(void)
{
    struct sockaddr_in relay, phone, from;
    int relay_fd = bound(&relay), phone_fd = bound(&phone);
    pid_t child = fork();
    if (!child)
        play_phones(phone_fd, &relay);
    char packet[2048];
    double before = cpu_us();
    for (int i = 0; i < PACKETS; i++) {
        socklen_t length = sizeof from;
        ssize_t size = recvfrom(relay_fd, packet, sizeof packet, 0, (struct sockaddr *)&from, &length);
        sendto(relay_fd, packet, (size_t)size, 0, (struct sockaddr *)&from, length);
    }
    double cost = (cpu_us() - before) / PACKETS;
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    printf("%.2f\n", cost);
    return 0;
}
