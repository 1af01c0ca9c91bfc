/* Finds private keys by label through a PKCS#11 module: p11find MODULE, PIN on stdin.
 * Prints the milliseconds of each of 20 searches, each for another label.
 */
#include "../tests/support/guests/guest.h"

static double milliseconds(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1e3 + time.tv_nsec / 1e6;
}

static void find(number session, const char *label)
{
    number class = 3, key = 0, count = 0;
    struct attribute wanted[2] = {{0, &class, sizeof class}, {3, (void *)label, strlen(label)}};
    MUST(C_FindObjectsInit, session, wanted, 2, 0, 0);
    MUST(C_FindObjects, session, &key, 1, &count, 0);
    MUST(C_FindObjectsFinal, session, 0, 0, 0, 0);
    must("the key", count != 1);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 64;
    load(argv[1]);
    MUST(C_Initialize, 0, 0, 0, 0, 0);
    number session = log_in();
    for (int i = 1; i <= 20; ++i) {
        char label[32];
        snprintf(label, sizeof label, "filler-%d", i * 991);
        double start = milliseconds();
        find(session, label);
        printf("%.3f\n", milliseconds() - start);
    }
    return 0;
}
