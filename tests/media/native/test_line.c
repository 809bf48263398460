/* Unit tests of the one line that a far end sees, under virtual time: whoever speaks, however its numbers jump.
 *
 * Compiled with the sanitizers and run by tests/media/native/test_core.py. What they share is in steps.h.
 */
#include "steps.h"

static uint32_t a, b;

static void begin(void)
{
    start();
    join(a = open_endpoint(0, PCMA, 101), b = open_endpoint(1, PCMA, 101));
}

static void say(uint32_t ssrc, uint8_t type, uint16_t sequence, uint32_t timestamp)
{
    static const uint8_t event[] = {1, 10, 0, 160};
    uint8_t packet[RTP_HEADER + FRAME_SAMPLES] = {0};
    union address from = phone(0);
    rtp_write(packet, false, type, sequence, timestamp, ssrc);
    memcpy(packet + RTP_HEADER, event, sizeof event);
    endpoint_receive(&worker, 0, false, packet, RTP_HEADER + (type == PCMA ? FRAME_SAMPLES : sizeof event), &from);
    worker.now += FRAME_NS;
}

/* The newest packet against the one before: RFC 3550 5.1. */
static bool goes_on(uint16_t numbers, uint32_t samples)
{
    return sent_count > 1 && (uint16_t)(sent_sequence(sent_count - 1) - sent_sequence(sent_count - 2)) == numbers
           && sent_timestamp(sent_count - 1) - sent_timestamp(sent_count - 2) == samples
           && read32(sent[sent_count - 1].data + 8) == 101;
}

static bool has_marker(uint32_t index)
{
    return sent[index].data[1] & 0x80;
}

static void play(uint32_t handle)
{
    static uint8_t samples[2 * FRAME_SAMPLES];
    static const struct piece piece = {samples, sizeof samples};
    struct command command = {.type = COMMAND_PLAY, .handle = handle};
    command.play.pieces = &piece;
    command.play.piece_count = command.play.count = 1;
    command.play.listeners[0] = b;
    worker_obey(&worker, &command);
    for (int frame = 0; frame < 3; frame++, worker.now += FRAME_NS)
        playback_tick(&worker);
}

static void configure(bool sending, bool receiving)
{
    struct command command = {.type = COMMAND_CONFIGURE, .handle = b, .remote = remote_at(phone(1), PCMA, 101)};
    command.remote.sending = sending;
    worker_obey(&worker, &command);
    command.handle = a;
    command.remote = remote_at(phone(0), PCMA, 101);
    command.remote.receiving = receiving;
    worker_obey(&worker, &command);
}

/* RFC 3550 8.2: a phone that changes its SSRC, or transfers the call, is another source, whatever its numbers. */
static void test_another_ssrc_goes_on_in_the_same_line(void)
{
    begin();
    say(7, PCMA, 10, 1000);
    say(8, PCMA, 200, 1000 + FRAME_SAMPLES);
    CHECK(goes_on(1, FRAME_SAMPLES) && has_marker(1));
    say(8, PCMA, 201, 1000 + 2 * FRAME_SAMPLES);
    CHECK(goes_on(1, FRAME_SAMPLES) && !has_marker(2));
    finish();
}

/* A.1: a source that has begun anew, by its numbers or by its clock alone. */
static void test_numbers_that_jump_are_no_loss(void)
{
    begin();
    say(7, PCMA, 10, 1000);
    say(7, PCMA, 10000, 1000 + FRAME_SAMPLES);
    CHECK(goes_on(1, FRAME_SAMPLES));
    say(7, PCMA, 9000, 1000 + 2 * FRAME_SAMPLES);
    CHECK(goes_on(1, FRAME_SAMPLES));
    say(7, PCMA, 9001, 900000);
    CHECK(goes_on(1, FRAME_SAMPLES));
    say(7, PCMA, 9201, 900000 + 200 * FRAME_SAMPLES); /* but so much may be lost */
    CHECK(sent_count == 5 && (uint16_t)(sent_sequence(4) - sent_sequence(3)) != 0);
    finish();
}

/* RFC 3389: what comfort noise of one source does to its numbers is nothing to those of another. */
static void test_comfort_noise_of_another_source_moves_nothing(void)
{
    begin();
    say(7, PCMA, 10, 1000);
    say(8, COMFORT_NOISE, 400, 5000);
    say(7, PCMA, 11, 1000 + FRAME_SAMPLES);
    CHECK(sent_count == 2 && goes_on(1, FRAME_SAMPLES));
    finish();
}

/* RFC 3550 A.1: what is not passed on takes no number, and gives none that is taken to what comes late. */
static void test_what_comes_late_behind_comfort_noise_has_its_own_number(void)
{
    begin();
    say(7, PCMA, 10, 1000);
    say(7, COMFORT_NOISE, 12, 1000 + 2 * FRAME_SAMPLES);
    say(7, PCMA, 11, 1000 + FRAME_SAMPLES);
    CHECK(sent_count == 2 && goes_on(1, FRAME_SAMPLES));
    say(7, PCMA, 13, 1000 + 3 * FRAME_SAMPLES);
    CHECK(sent_count == 3 && goes_on(1, 2 * FRAME_SAMPLES));
    say(7, COMFORT_NOISE, 15, 1000 + 5 * FRAME_SAMPLES);
    say(7, PCMA, 16, 1000 + 6 * FRAME_SAMPLES); /* 14 never comes */
    CHECK(sent_count == 4 && goes_on(2, 3 * FRAME_SAMPLES));
    say(7, PCMA, 12, 1000 + 2 * FRAME_SAMPLES);
    CHECK(sent_count == 4);
    finish();
}

/* In packets of either length: no number twice, and what was said later has a later one. */
static void test_no_number_is_used_twice_whatever_is_kept_back_lost_or_late(void)
{
    for (uint32_t round = 0; round < 300; round++) {
        bool given[1000] = {false}, used[65536] = {false};
        uint8_t types[1000];
        begin();
        worker.endpoints[1].line.frame = round % 2 ? FRAME_SAMPLES : 2 * FRAME_SAMPLES;
        for (uint32_t i = 0; i < 1000; i++)
            types[i] = chance(4) ? PCMA : COMFORT_NOISE;
        types[0] = PCMA;
        for (uint32_t i = 0; i < 900; i++) {
            uint32_t which = i && !chance(4) ? i + chance(5) : i;
            if (!given[which] && (i == 0 || chance(10)))
                say(7, types[which], (uint16_t)(65000 + which), FRAME_SAMPLES * which);
            given[which] = true;
        }
        for (uint32_t i = 0; i < sent_count; i++) {
            CHECK(!used[sent_sequence(i)]);
            used[sent_sequence(i)] = true;
            for (uint32_t before = i > 10 ? i - 10 : 0; before < i; before++)
                CHECK(((int16_t)(sent_sequence(i) - sent_sequence(before)) > 0)
                      == ((int32_t)(sent_timestamp(i) - sent_timestamp(before)) > 0));
        }
        finish();
    }
}

/* A source that has begun anew while nothing of it was passed on. */
static void test_numbers_that_jump_while_nothing_is_passed_on_are_no_loss(void)
{
    begin();
    say(7, PCMA, 10, 1000);
    say(7, COMFORT_NOISE, 10000, 1000 + FRAME_SAMPLES);
    say(7, PCMA, 10001, 1000 + 2 * FRAME_SAMPLES);
    CHECK(sent_count == 2 && goes_on(1, 2 * FRAME_SAMPLES) && has_marker(1));
    finish();
}

/* 5.1: the marker says where speech begins, the timestamp when it was sampled, also behind a pause. */
static void test_a_prompt_behind_a_pause_is_a_pause_later_and_marked(void)
{
    begin();
    say(7, PCMA, 10, 1000);
    worker.now += SECOND_NS - FRAME_NS;
    play(1 << 16);
    CHECK(sent_count == 3 && has_marker(1) && !has_marker(2) && goes_on(1, FRAME_SAMPLES));
    CHECK(sent_timestamp(1) - sent_timestamp(0) == 8000 && (uint16_t)(sent_sequence(1) - sent_sequence(0)) == 1);
    worker.now += SECOND_NS - 2 * FRAME_NS;
    say(7, PCMA, 11, 1000 + FRAME_SAMPLES);
    CHECK(sent_count == 4 && has_marker(3) && goes_on(1, 8000));
    finish();
}

/* A menu: prompt, time to think, prompt. The same with the tones of two keys, for one who takes no events. */
static void test_a_prompt_behind_a_prompt_is_later_by_the_pause_between_and_marked(void)
{
    begin();
    play(1 << 16);
    CHECK(sent_count == 2 && has_marker(0) && !has_marker(1));
    worker.now += SECOND_NS - 2 * FRAME_NS;
    play(2 << 16);
    CHECK(sent_count == 4 && has_marker(2) && !has_marker(3) && goes_on(1, FRAME_SAMPLES));
    CHECK(sent_timestamp(2) - sent_timestamp(1) == 8000 && (uint16_t)(sent_sequence(2) - sent_sequence(1)) == 1);
    finish();
}

/* The worker did not run for a second: what was due is not sent in a hurry, and what comes then is of then. */
static void test_a_prompt_goes_on_behind_a_stall_as_late_as_it_is(void)
{
    static uint8_t samples[20 * FRAME_SAMPLES];
    static const struct piece piece = {samples, sizeof samples};
    static const int64_t stalls_ms[] = {100, 1000};
    for (int stall = 0; stall < 2; stall++) {
        begin();
        struct command command = {.type = COMMAND_PLAY, .handle = 1 << 16};
        command.play.pieces = &piece;
        command.play.piece_count = command.play.count = 1;
        command.play.listeners[0] = b;
        worker_obey(&worker, &command);
        for (int ms = 0; ms < 2000; ms += 2, worker.now += TICK_NS)
            if (ms <= 60 || ms >= 60 + stalls_ms[stall])
                playback_tick(&worker);
        CHECK(sent_count == 20);
        for (uint32_t i = 1; i < sent_count; i++) {
            bool behind_it = stall && i == 4;
            CHECK(has_marker(i) == behind_it);
            CHECK(sent_timestamp(i) - sent_timestamp(i - 1) == (behind_it ? 1000 * 8 : FRAME_SAMPLES));
        }
        finish();
    }
}

/* RFC 4733 2.1: the packets of a key have one timestamp, however long it is held; what follows is of when it is said, and a
 * report (RFC 3550 6.4.1) of when it is made.
 */
static void test_no_key_stops_the_clock(void)
{
    begin();
    say(7, PCMA, 10, 1000);
    for (uint16_t i = 1; i <= 50; i++)
        say(7, 101, (uint16_t)(10 + i), 1000 + FRAME_SAMPLES);
    rtcp_report(&worker, &worker.endpoints[1]);
    CHECK(sent[51].rtcp && read32(sent[51].data + 16) - sent_timestamp(0) == 51 * FRAME_SAMPLES);
    sent_count--;
    play(1 << 16);
    CHECK(sent_timestamp(51) - sent_timestamp(0) == 51 * FRAME_SAMPLES && has_marker(51));
    finish();
}

/* RFC 4733 2.1: a key's timestamp is of its beginning; what follows is not sampled before what went out last. */
static void test_no_key_turns_the_clock_back(void)
{
    begin();
    for (uint16_t i = 0; i < 5; i++)
        say(7, PCMA, i, 1000 + i * FRAME_SAMPLES);
    say(7, 101, 5, 1000 + 3 * FRAME_SAMPLES);
    uint32_t newest = sent_timestamp(4);
    worker.now -= 2 * FRAME_NS; /* as if all had come at once */
    play(1 << 16);
    CHECK((int32_t)(sent_timestamp(sent_count - 2) - newest) > 0);
    finish();
}

/* RFC 3264 8.4: what is said meanwhile is not heard by who holds, and is no loss to it afterwards. */
static void test_hold_of_either_side_is_no_loss(void)
{
    for (int who = 0; who < 2; who++) {
        begin();
        say(7, PCMA, 10, 1000);
        configure(who, !who);
        for (uint16_t i = 1; i <= 100; i++)
            say(7, PCMA, (uint16_t)(10 + i), 1000 + i * FRAME_SAMPLES);
        CHECK(sent_count == 1 && worker.endpoints[0].receiver.received_all == 101);
        configure(true, true);
        say(7, PCMA, 111, 1000 + 101 * FRAME_SAMPLES);
        CHECK(sent_count == 2 && goes_on(1, 101 * FRAME_SAMPLES) && (who || has_marker(1)));
        finish();
    }
}

/* Who was connected to one that has another now is heard by nobody. */
static void test_of_three_only_the_two_that_were_joined_last_hear_each_other(void)
{
    for (int who = 0; who < 2; who++) {
        begin();
        uint32_t c = open_endpoint(2, PCMA, 101);
        who ? join(c, a) : join(a, c);
        give_talk(1, 1);
        CHECK(sent_count == 0);
        give_talk(0, 1);
        give_talk(2, 1);
        CHECK(sent_count == 2 && sent[0].slot == 2 && sent[1].slot == 0);
        struct command part = {.type = COMMAND_DISCONNECT, .handle = a};
        part.connect.other = b; /* not its peer any more */
        worker_obey(&worker, &part);
        give_talk(0, 2);
        CHECK(sent_count == 3);
        part.connect.other = c;
        worker_obey(&worker, &part);
        give_talk(0, 3);
        give_talk(2, 2);
        CHECK(sent_count == 3);
        finish();
    }
}

int main(void)
{
    test_another_ssrc_goes_on_in_the_same_line();
    test_numbers_that_jump_are_no_loss();
    test_comfort_noise_of_another_source_moves_nothing();
    test_a_prompt_behind_a_pause_is_a_pause_later_and_marked();
    test_a_prompt_behind_a_prompt_is_later_by_the_pause_between_and_marked();
    test_a_prompt_goes_on_behind_a_stall_as_late_as_it_is();
    test_no_key_stops_the_clock();
    test_what_comes_late_behind_comfort_noise_has_its_own_number();
    test_no_number_is_used_twice_whatever_is_kept_back_lost_or_late();
    test_numbers_that_jump_while_nothing_is_passed_on_are_no_loss();
    test_no_key_turns_the_clock_back();
    test_hold_of_either_side_is_no_loss();
    test_of_three_only_the_two_that_were_joined_last_hear_each_other();
    puts("ok");
    return 0;
}
