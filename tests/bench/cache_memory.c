/* How long this machine's caches remember: what a line of memory costs at once, and after a pause in which nobody here
 * touched it but the machine's other users could.
 *
 * Compiled and run by tests/bench/programs.py. It reads a megabyte, line by line in one fixed random order, again and
 * again, and turns on the processor in between, so that no sleep and no other program of ours is to blame. Prints
 * nanoseconds a line: without pause, and after pauses of 2 and of 10 ms.
 */
#define _XOPEN_SOURCE 700
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define LINE 64
#define LINES (1024 * 1024 / LINE)
#define ROUNDS 50

static char memory[LINES][LINE] __attribute__((aligned(4096)));

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/* Each line holds where the next one is: no line can be fetched before the one in front of it. */
static void shuffle(void)
{
    static int order[LINES];
    for (int i = 0; i < LINES; i++) {
        int other = (int)(random() % (i + 1));
        order[i] = order[other];
        order[other] = i;
    }
    for (int i = 0; i < LINES; i++)
        *(char **)memory[order[i]] = memory[order[(i + 1) % LINES]];
}

static double line_ns(int64_t pause_ns)
{
    char *at = memory[0];
    int64_t taken = 0;
    for (int round = 0; round < ROUNDS; round++) {
        for (int64_t until = now_ns() + pause_ns; now_ns() < until;)
            continue;
        int64_t before = now_ns();
        for (int i = 0; i < LINES; i++)
            at = *(char *volatile *)at;
        taken += now_ns() - before;
    }
    return (double)taken / ROUNDS / LINES;
}

int main(void)
{
    shuffle();
    line_ns(0);
    printf("%.1f %.1f %.1f\n", line_ns(0), line_ns(2000000), line_ns(10000000));
    return 0;
}
