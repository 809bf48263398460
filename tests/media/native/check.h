/* CHECK: what must hold in a test program of the native core; where it does not, the program says so and ends. */
#ifndef MEDIA_TEST_CHECK_H
#define MEDIA_TEST_CHECK_H

#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                      \
    do {                                                                      \
        if (!(condition)) {                                                   \
            fprintf(stderr, "%s:%d: %s\n", __func__, __LINE__, #condition);   \
            exit(1);                                                          \
        }                                                                     \
    } while (0)

#endif
