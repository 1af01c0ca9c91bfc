/* Signs with one key of a PKCS#11 module from many threads for a while: p11speed MODULE THREADS SECONDS, PIN on stdin.
 * Prints the signatures per second. Every thread has a session of its own; a refused signature ends the program.
 */
#include "../tests/support/guests/guest.h"

static double seconds;

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

static void *signing(void *counted)
{
    number session = open_session(), key = first_key(session), *count = counted;
    for (double end = now() + seconds; now() < end; ++*count)
        must("sign", sign(session, key));
    return NULL;
}

int main(int argc, char **argv)
{
    struct { void *functions[4]; number flags; void *reserved; } locking = {{0}, 2, 0}; /* CKF_OS_LOCKING_OK */
    int threads = argc == 4 ? atoi(argv[2]) : 0;
    if (threads < 1 || threads > 64)
        return 64;
    seconds = atof(argv[3]);
    load(argv[1]);
    MUST(C_Initialize, &locking, 0, 0, 0, 0);
    log_in();
    pthread_t running[64];
    number counts[64] = {0}, total = 0;
    double start = now();
    for (int i = 0; i < threads; ++i)
        pthread_create(&running[i], NULL, signing, &counts[i]);
    for (int i = 0; i < threads; ++i) {
        pthread_join(running[i], NULL);
        total += counts[i];
    }
    printf("%.1f\n", total / (now() - start));
    return 0;
}
