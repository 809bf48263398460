/* In the place of calloc() in a build of the whole extension: see test_allocation_by_python.py. */
#include <stddef.h>

void *real_calloc(size_t count, size_t size) __asm__("calloc");

int failing_left; /* allocations until one fails; 0: none does any more */

void *failing_calloc(size_t count, size_t size)
{
    return failing_left && !--failing_left ? NULL : real_calloc(count, size);
}
