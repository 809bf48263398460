/* Where packets come to lie on a recording's clock: jitter moves nothing, drift is followed by a sample a packet, and what
 * is neither begins a new time line (RFC 3550 5.1). Each limit is held on either side.
 *
 * Compiled with the sanitizers and run by tests/media/native/test_core.py.
 */
#include "../../../media/native/core.h"
#include "check.h"

#define SET_UNTIL 7 /* as if audio had been recorded: only a new time line forgets it */
#define SPAN 40000
#define LATE 1600

static struct timeline line;
static uint32_t ssrc = 9;
static int64_t said; /* samples since the first packet, by the far end's clock */

/* The packet that comes `delay` samples behind the first packet's; by how much it is placed behind it. */
static int64_t place(int64_t delay)
{
    struct rtp rtp = {.ssrc = ssrc, .timestamp = 0xFFFFF000u + (uint32_t)said};
    int64_t placed = timeline_place(&line, &rtp, 1000 + said + delay) - 1000 - said;
    said += FRAME_SAMPLES;
    return placed;
}

static void begin(void)
{
    line = (struct timeline){.until = -1};
    said = 0;
    CHECK(place(0) == 0 && line.until == -1);
    line.until = SET_UNTIL;
}

static void test_a_packet_late_by_jitter_lies_where_it_belongs(void)
{
    begin();
    for (int packet = 0; packet < 1000; packet++)
        CHECK(place(packet % 20 ? LATE : 0) == 0 && line.until == SET_UNTIL);
    begin();
    for (int packet = 0; packet < 100; packet++)
        CHECK(place(LATE) == 0 && line.until == SET_UNTIL);
}

static void test_ten_in_a_row_that_are_later_begin_a_new_line(void)
{
    begin();
    for (int again = 0; again < 3; again++) {
        for (int packet = 0; packet < 9; packet++)
            CHECK(place(LATE + 1) == 0);
        CHECK(place(0) == 0 && line.until == SET_UNTIL);
    }
    for (int packet = 0; packet < 9; packet++)
        CHECK(place(LATE + 1) == 0);
    CHECK(place(LATE + 1) == LATE + 1 && line.until == -1 && place(LATE + 1) == LATE + 1);
    line.until = SET_UNTIL;
    for (int packet = 0; packet < 9; packet++) /* counted anew */
        CHECK(place(2 * LATE + 2) == LATE + 1);
    CHECK(place(2 * LATE + 2) == 2 * LATE + 2 && line.until == -1);
}

/* Nothing comes before it is said: what is early by more than 10 ms tells at once where the stream belongs. */
static void test_what_is_early_moves_the_line_and_what_is_much_too_early_begins_a_new_one(void)
{
    begin();
    CHECK(place(-80) == 0);
    CHECK(place(-81) == -81 && line.until == SET_UNTIL && place(-81) == -81);
    begin();
    CHECK(place(-LATE) == -LATE && line.until == SET_UNTIL);
    begin();
    CHECK(place(-LATE - 1) == -LATE - 1 && line.until == -1);
}

static void test_another_source_begins_a_new_line(void)
{
    begin();
    ssrc++;
    CHECK(place(50) == 50 && line.until == -1 && place(60) == 50);
}

/* All packets of a span with one delay, and a few behind it. */
static int64_t place_span(int64_t delay, int64_t before)
{
    int64_t began = said;
    for (bool last = false; !last;) {
        last = 1000 + said + delay >= line.span_ends;
        CHECK(place(delay) == before);
    }
    CHECK(said - began >= SPAN - 3 * FRAME_SAMPLES && said - began <= SPAN + 3 * FRAME_SAMPLES);
    return place(delay);
}

static void test_drift_is_followed_by_a_sample_a_packet(void)
{
    begin();
    CHECK(place_span(40, 0) == 0 && place(40) == 0);
    begin();
    CHECK(place_span(-40, 0) == 0 && place(-40) == 0);
    for (int sign = -1; sign < 2; sign += 2) {
        begin();
        CHECK(place_span(sign * 41, 0) == sign);
        for (int packet = 2; packet <= 41; packet++)
            CHECK(place(sign * 41) == sign * packet);
        CHECK(place(sign * 41) == sign * 41 && line.until == SET_UNTIL);
        CHECK(place_span(sign * 41, sign * 41) == sign * 41); /* there it stays */
    }
}

/* The least delayed tells, and not of what was before the place was reached. */
static void test_jitter_is_no_drift(void)
{
    begin();
    for (int packet = 0; packet < 2000; packet++)
        CHECK(place(packet % 100 == 50 ? 40 : 41 + packet % 1000) == 0);
    begin();
    CHECK(place_span(600, 0) == 1);
    for (int packet = 2; packet <= 600; packet++)
        CHECK(place(1500) == packet); /* not slower for it, nor further */
    for (int packet = 0; packet < 1000; packet++)
        CHECK(place(packet % 10 ? 1500 : 610) == 600);
}

/* 79 packets in five seconds tell nothing yet. */
static void test_a_span_has_eighty_packets(void)
{
    begin();
    for (int packet = 0; packet < 79; packet++, said += 5 * FRAME_SAMPLES)
        CHECK(place(50) == 0);
    CHECK(place(50) == 0 && place(50) == 1 && place(50) == 2);
    begin();
    for (int64_t ends = line.span_ends; line.span_ends == ends;)
        CHECK(place(0) == 0);
    for (int packet = 0; packet < 79; packet++, said += 5 * FRAME_SAMPLES)
        CHECK(place(50) == 0);
    CHECK(place(50) == 0 && place(50) == 1);
}

static void test_who_jumps_slides_no_more_and_is_measured_anew(void)
{
    begin();
    CHECK(place_span(60, 0) == 1);
    CHECK(place(-100) == -100 && place(-100) == -100);
    begin();
    CHECK(place_span(60, 0) == 1);
    ssrc++;
    CHECK(place(0) == 0 && place(0) == 0);
    begin();
    for (int packet = 0; packet < 200; packet++)
        CHECK(place(70) == 0);
    CHECK(place(-100) == -100);
    for (int packet = 0; packet < 200; packet++) /* 45 behind that */
        CHECK(place(-55) == -100);
}

static uint32_t lost(uint16_t sequence)
{
    return timeline_lost(&line, &(struct rtp){.sequence = sequence});
}

/* RFC 3550 A.1: numbers go round. */
static void test_what_was_lost_is_counted_once_and_not_across_a_new_beginning(void)
{
    line = (struct timeline){.until = -1};
    CHECK(lost(65530) == 0 && lost(20) == 0);
    line.until = SET_UNTIL;
    line.sequence = 65534;
    CHECK(lost(65535) == 0 && lost(3) == 3 && lost(3) == 0 && lost(1) == 0 && lost(4) == 0 && lost(6) == 1);
    line.until = -1;
    CHECK(lost(2) == 0 && line.sequence == 2);
}

int main(void)
{
    test_a_packet_late_by_jitter_lies_where_it_belongs();
    test_ten_in_a_row_that_are_later_begin_a_new_line();
    test_what_is_early_moves_the_line_and_what_is_much_too_early_begins_a_new_one();
    test_another_source_begins_a_new_line();
    test_drift_is_followed_by_a_sample_a_packet();
    test_jitter_is_no_drift();
    test_a_span_has_eighty_packets();
    test_who_jumps_slides_no_more_and_is_measured_anew();
    test_what_was_lost_is_counted_once_and_not_across_a_new_beginning();
    puts("ok");
    return 0;
}
