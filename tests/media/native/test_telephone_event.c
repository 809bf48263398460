/* Keys from one side to the other under virtual time: RFC 4733 events made anew, tones made and heard (ITU-T Q.23). */
#include "steps.h"
#include "keys.h"

static void test_an_event_that_fits_is_passed_on_bit_by_bit(void)
{
    call(101, FRAME_SAMPLES);
    talk(3, 0x55);
    press(5, 480);
    talk(3, 0x55);
    CHECK(sent_count == 11);
    for (uint32_t i = 3; i < 8; i++)
        CHECK(sent_type(i) == 101 && sent_timestamp(i) == sent_timestamp(2) + FRAME_SAMPLES);
    check_one_line();
    finish();
}

static void test_an_event_of_another_payload_type_is_made_anew_with_its_duration(void)
{
    call(96, FRAME_SAMPLES);
    talk(3, 0x55);
    press(5, 800);
    talk(10, 0x55);
    uint32_t first = find(96, 0), ends = 0;
    CHECK(first == 3 && sent_marker(first));
    for (uint32_t i = first; (i = find(96, i)) < sent_count; i++) {
        CHECK(sent[i].data[RTP_HEADER] == 5 && (sent[i].data[RTP_HEADER + 1] & 0x3F) == VOLUME);
        CHECK(sent_timestamp(i) == sent_timestamp(2) + FRAME_SAMPLES && sent_marker(i) == (i == first));
        CHECK(!sent_end(i) || sent_duration(i) == 800);
        ends += sent_end(i);
    }
    CHECK(ends == 3);
    check_one_line();
    CHECK(sent_timestamp(sent_count - 1) - sent_timestamp(2) == 800 + 10 * FRAME_SAMPLES);
    finish();
}

static void test_an_event_goes_out_in_the_packet_time_of_the_other_side(void)
{
    call(101, 320); /* 40 ms */
    press(7, 1600);
    pass_time(200);
    uint32_t ends = 0, last = 0;
    CHECK(sent_count == 8); /* at 0, 40, 80, 120, 160 ms, and its end three times */
    for (uint32_t i = 0; i < sent_count; i++) {
        CHECK(sent_type(i) == 101 && sent_duration(i) >= last);
        last = sent_duration(i);
        ends += sent_end(i);
    }
    CHECK(ends == 3 && last == 1600);
    check_one_line();
    finish();
}

/* Talk that goes on below the key, lost and late packets of either, every packet time: still one line without a gap. */
static void test_keys_amid_talk_in_other_packets_leave_one_line(void)
{
    for (uint16_t frame = 80; frame <= 480; frame = (uint16_t)(frame + 80)) {
        call(96, frame);
        for (int key = 0; key < 20; key++) {
            uint32_t began = timestamp;
            talk(1 + chance(7), 0x55);
            for (uint16_t part = 1; part <= 6; part++) {
                uint32_t now = timestamp;
                timestamp = began;
                event_packet((uint8_t)(key % 16), (uint16_t)(part * FRAME_SAMPLES), part > 3);
                timestamp = now;
                if (chance(2))
                    talk(1, 0x55);
            }
            pass_time(100);
        }
        pass_time(300);
        check_one_line();
        uint32_t ends = 0;
        for (uint32_t i = 0; (i = find(96, i)) < sent_count; i++)
            ends += sent_end(i);
        CHECK(ends == 60 && worker.keys.count == 0);
        finish();
    }
}

/* A packet that was overtaken tells an earlier moment: what the other side is told grows all the same. */
static void test_a_press_never_becomes_shorter(void)
{
    static const uint16_t parts[] = {160, 480, 320, 800, 640, 960};
    call(96, FRAME_SAMPLES);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++, pass_time(20))
        event_packet(5, parts[i], false);
    for (uint32_t i = 1; i < sent_count; i++)
        CHECK(sent_duration(i) >= sent_duration(i - 1));
    CHECK(sent_duration(sent_count - 1) == 960);
    finish();
}

static void test_a_press_whose_end_is_lost_ends_all_the_same(void)
{
    call(96, FRAME_SAMPLES);
    event_packet(1, 160, false);
    pass_time(20);
    event_packet(1, 320, false);
    pass_time(1000);
    CHECK(sent_end(sent_count - 1) && sent_end(sent_count - 3) && !sent_end(sent_count - 4));
    CHECK(sent_duration(sent_count - 1) == 320 && sent_count < 20 && worker.keys.count == 0);
    finish();
}

static void test_the_next_press_ends_the_one_before_it(void)
{
    call(96, FRAME_SAMPLES);
    event_packet(1, 160, false);
    timestamp += 800;
    event_packet(2, 160, false);
    pass_time(2);
    CHECK(sent_count == 4 && sent_end(2) && sent[2].data[RTP_HEADER] == 1);
    CHECK(!sent_end(3) && sent[3].data[RTP_HEADER] == 2 && sent_timestamp(3) - sent_timestamp(0) == 800);
    finish();
}

/* RFC 4733 2.5.1.3 */
/* A phone that starts its stream anew has its timestamps begin anywhere; the SSRC may stay. */
static void check_keys_after_a_step(uint32_t step, int event_out, uint16_t frame)
{
    call(event_out, frame);
    talk(5, 0x55);
    press(5, 480);
    talk(5, 0x55);
    uint16_t before = (uint16_t)(sequence - 7);
    uint32_t at = timestamp - 480 - 5 * FRAME_SAMPLES;
    timestamp -= step;
    marked = true;
    press(6, 480);
    uint8_t payload[4] = {5, 0x80 | VOLUME, 480 >> 8, 480 & 0xFF};
    give(0, 101, before, at, payload, sizeof payload); /* the last of the first press, long on its way */
    press(6, 480);
    talk(5, 0x55);
    press(7, 480);
    char told[8] = "";
    size_t count = 0;
    for (const struct event *event; (event = ring_peek(&worker.events)); ring_pop(&worker.events))
        if (event->type == EVENT_DIGIT)
            told[count++] = event->digit;
    CHECK(!strcmp(told, "5667"));
    uint32_t newest = sent_timestamp(0);
    for (uint32_t i = 1; i < sent_count; i++) {
        int32_t on = (int32_t)(sent_timestamp(i) - newest);
        bool late = event_out == 101 && sent[i].data[RTP_HEADER] == 5; /* it is passed on as it is, with its number */
        CHECK(on > -800 || late); /* its packets go out beside the voice that follows it */
        newest += on > 0 ? (uint32_t)on : 0;
    }
    finish();
}

static void test_keys_are_told_once_each_after_the_timestamps_have_stepped_back(void)
{
    const uint32_t steps[] = {2000, 16000, 40000, 70000, 200000, 0x7FFFFFFF};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        check_keys_after_a_step(steps[i], 96, FRAME_SAMPLES);
        check_keys_after_a_step(steps[i], -1, FRAME_SAMPLES);
        check_keys_after_a_step(steps[i], 101, FRAME_SAMPLES);
    }
}

static void test_a_press_beyond_65535_samples_goes_on_in_a_segment(void)
{
    call(96, FRAME_SAMPLES);
    event_packet(3, 65440, false);
    pass_time(20);
    uint32_t first = sent_timestamp(0);
    timestamp += 0xFFFF;
    event_packet(3, 160, false);
    pass_time(20);
    event_packet(3, 320, true);
    pass_time(100);
    CHECK(sent_timestamp(sent_count - 1) - first == 0xFFFF && sent_duration(sent_count - 1) == 320);
    CHECK(sent_marker(0) && !sent_marker(1) && count_events(EVENT_DIGIT) == 1);
    finish();
}

static void test_a_side_without_events_hears_the_key_as_a_tone_in_the_place_of_the_talk(void)
{
    static const char digits[] = "0123456789*#ABCD";
    call(-1, FRAME_SAMPLES);
    for (uint8_t code = 0; code < 16; code++) {
        talk(4, ALAW_SILENCE);
        press(code, code % 2 ? 1600 : 160);
        pass_time(100);
        talk(4, ALAW_SILENCE);
    }
    CHECK(!strcmp(heard(), digits));
    check_one_line();
    finish();
    call(-1, FRAME_SAMPLES);
    press(5, 2400);
    pass_time(300);
    CHECK(sent_count >= 15 && sent_count <= 16); /* as long as the key was held */
    finish();
}

static double amplitude_sent(double hertz)
{
    double re = 0, im = 0;
    for (int i = 0; i < 4 * FRAME_SAMPLES; i++) {
        double sample = alaw_linear[sent[i / FRAME_SAMPLES].data[RTP_HEADER + i % FRAME_SAMPLES]];
        re += sample * cos(2 * M_PI * hertz * i / 8000);
        im += sample * sin(2 * M_PI * hertz * i / 8000);
    }
    return 2 * hypot(re, im) / (4 * FRAME_SAMPLES);
}

/* Q.24 lets a detector miss what is shorter than 40 ms or below -25 dBm0 (1250); -8 is 8900. */
static void test_the_tone_of_the_shortest_press_is_one_that_any_detector_hears(void)
{
    call(-1, FRAME_SAMPLES);
    press(5, 160);
    pass_time(200);
    CHECK(sent_count == 4);
    for (int tone = 0; tone < 2; tone++) {
        double amplitude = amplitude_sent(tone ? 770 : 1336);
        CHECK(amplitude > 8400 && amplitude < 9600);
    }
    finish();
}

static void test_talk_that_goes_on_below_a_key_is_not_mixed_into_its_tone(void)
{
    call(-1, FRAME_SAMPLES);
    talk(2, 0x55);
    event_packet(5, 160, false);
    pass_time(2);
    timestamp += FRAME_SAMPLES;
    talk(3, 0x33);
    timestamp -= 4 * FRAME_SAMPLES;
    event_packet(5, 640, true);
    timestamp += 4 * FRAME_SAMPLES;
    pass_time(60);
    for (uint32_t i = 2; i < sent_count; i++)
        CHECK(memchr(sent[i].data + RTP_HEADER, 0xD5, FRAME_SAMPLES) || sent[i].data[RTP_HEADER + 7] != 0x33);
    uint32_t toned = sent_count;
    CHECK(toned >= 5);
    talk(2, 0x33);
    CHECK(sent_count == toned + 2);
    check_one_line();
    finish();
}

static void part(void)
{
    worker_obey(&worker, &(struct command){.type = COMMAND_DISCONNECT, .handle = a, .connect.other = b});
}

static void test_a_key_that_began_before_the_two_were_connected_never_reaches_the_other(void)
{
    for (int event_out = -1; event_out <= 101; event_out += 51) { /* -1, 50, 101 */
        call(event_out, FRAME_SAMPLES);
        part();
        event_packet(4, 160, false);
        join(a, b);
        press(4, 800);
        pass_time(300);
        CHECK(sent_count == 0 && count_events(EVENT_DIGIT) == 1);
        press(6, 800);
        pass_time(300);
        CHECK(sent_count > 0 && (event_out < 0 ? !strcmp(heard(), "6") : sent[0].data[RTP_HEADER] == 6));
        finish();
    }
}

/* `seconds` of a key's tones from anna. */
static void give_tone(double low, double high, uint32_t frames)
{
    for (uint32_t frame = 0; frame < frames; frame++, timestamp += FRAME_SAMPLES) {
        uint8_t payload[FRAME_SAMPLES];
        for (uint32_t i = 0; i < FRAME_SAMPLES; i++) {
            double t = (frame * FRAME_SAMPLES + i) / 8000.0;
            payload[i] = alaw_encode((int)(8000 * (sin(2 * M_PI * low * t) + sin(2 * M_PI * high * t))));
        }
        give(0, PCMA, sequence++, timestamp, payload, sizeof payload);
        pass_time(20);
    }
}

static double loudest_sent(uint32_t from)
{
    double most = 0;
    for (uint32_t i = from; i < sent_count; i++)
        for (size_t n = RTP_HEADER; sent_type(i) == PCMA && n < sent[i].length; n++)
            most = fmax(most, abs(alaw_linear[sent[i].data[n]]));
    return most;
}

/* An extension's last key may still sound when the callee's early media joins the two. */
static void test_the_tone_of_a_key_that_was_told_before_the_two_were_connected_is_not_heard_by_the_other(void)
{
    call(101, FRAME_SAMPLES);
    worker.endpoints[0].event_in = -1;
    part();
    talk(3, ALAW_SILENCE);
    give_tone(770, 1336, 4);
    CHECK(count_events(EVENT_DIGIT) == 1);
    join(a, b);
    give_tone(770, 1336, 20);
    CHECK(loudest_sent(0) == 0);
    talk(3, ALAW_SILENCE);
    uint32_t first = sent_count;
    talk(3, 0x2A);
    CHECK(first <= 4 && sent_count == first + 3 && loudest_sent(first) > 20000 && count_events(EVENT_DIGIT) == 0);
    give_tone(770, 1336, 6);
    CHECK(sent_count == first + 9 && count_events(EVENT_DIGIT) == 1); /* what is keyed in talk is heard */
    check_one_line();
    finish();
}

/* RFC 4733 2.5.1.1: a phone may send the tone besides. */
static void test_a_tone_beside_an_event_that_is_kept_is_kept_too(void)
{
    call(101, FRAME_SAMPLES);
    part();
    event_packet(4, 160, false);
    give_tone(770, 1209, 1);
    join(a, b);
    timestamp -= FRAME_SAMPLES;
    for (uint16_t part = 2; part < 20; part++) {
        event_packet(4, (uint16_t)(part * FRAME_SAMPLES), part > 16);
        uint32_t began = timestamp;
        timestamp += (uint32_t)(part - 1) * FRAME_SAMPLES;
        give_tone(770, 1209, 1);
        timestamp = began;
    }
    CHECK(loudest_sent(0) == 0);
    timestamp += 20 * FRAME_SAMPLES;
    pass_time(60);
    talk(3, 0x2A);
    CHECK(sent_count == 3 && loudest_sent(0) > 20000);
    check_one_line();
    finish();
}

static char next_digit(void)
{
    const struct event *event = ring_peek(&worker.events);
    CHECK(event && event->type == EVENT_DIGIT);
    char digit = event->digit;
    ring_pop(&worker.events);
    return digit;
}

static void test_tones_are_digits_only_where_no_events_were_agreed(void)
{
    call(101, FRAME_SAMPLES);
    give_tone(770, 1336, 6);
    press(5, 960); /* both ways at once: once */
    CHECK(next_digit() == '5' && !ring_peek(&worker.events));
    struct command configure = {.type = COMMAND_CONFIGURE, .handle = a};
    configure.remote = remote_at(phone(0), PCMA, -1);
    worker_obey(&worker, &configure);
    talk(5, ALAW_SILENCE);
    give_tone(852, 1477, 6);
    press(9, 960); /* 101 was never agreed */
    talk(5, ALAW_SILENCE);
    give_tone(941, 1336, 6);
    CHECK(next_digit() == '9' && next_digit() == '0' && !ring_peek(&worker.events));
    finish();
}

static void test_a_prompt_ends_the_keys_that_are_on_their_way(void)
{
    static uint8_t samples[800];
    static const struct piece piece = {samples, sizeof samples};
    for (int event_out = -1; event_out <= 96; event_out += 97) {
        call(event_out, FRAME_SAMPLES);
        event_packet(5, 160, false);
        pass_time(30);
        struct command play = {.type = COMMAND_PLAY, .handle = 1 << 16};
        play.play.pieces = &piece;
        play.play.piece_count = 1;
        play.play.count = 1;
        play.play.listeners[0] = b;
        worker_obey(&worker, &play);
        pass_time(2);
        CHECK(worker.keys.count == 0);
        press(5, 640);
        pass_time(200);
        check_one_line();
        finish();
    }
}

static void test_a_closed_side_takes_its_key_along(void)
{
    call(96, FRAME_SAMPLES);
    event_packet(5, 160, false);
    pass_time(10);
    CHECK(worker.keys.count == 1);
    struct command close_b = {.type = COMMAND_CLOSE, .handle = b};
    worker_obey(&worker, &close_b);
    CHECK(worker.keys.count == 0);
    finish();
}

int main(void)
{
    test_an_event_that_fits_is_passed_on_bit_by_bit();
    test_an_event_of_another_payload_type_is_made_anew_with_its_duration();
    test_an_event_goes_out_in_the_packet_time_of_the_other_side();
    test_keys_amid_talk_in_other_packets_leave_one_line();
    test_a_press_never_becomes_shorter();
    test_a_press_whose_end_is_lost_ends_all_the_same();
    test_the_next_press_ends_the_one_before_it();
    test_keys_are_told_once_each_after_the_timestamps_have_stepped_back();
    test_a_press_beyond_65535_samples_goes_on_in_a_segment();
    test_a_side_without_events_hears_the_key_as_a_tone_in_the_place_of_the_talk();
    test_the_tone_of_the_shortest_press_is_one_that_any_detector_hears();
    test_talk_that_goes_on_below_a_key_is_not_mixed_into_its_tone();
    test_a_key_that_began_before_the_two_were_connected_never_reaches_the_other();
    test_the_tone_of_a_key_that_was_told_before_the_two_were_connected_is_not_heard_by_the_other();
    test_a_tone_beside_an_event_that_is_kept_is_kept_too();
    test_tones_are_digits_only_where_no_events_were_agreed();
    test_a_prompt_ends_the_keys_that_are_on_their_way();
    test_a_closed_side_takes_its_key_along();
    puts("ok");
    return 0;
}
