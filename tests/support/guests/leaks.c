/* A program that signs for a long time: leaks MODULE SIGNATURES
 *
 * Eight threads, each with a session that it closes and opens again every hundred signatures. Prints the resident memory
 * in KiB after the first twentieth, when every buffer and connection there will be is there, and at the end.
 */
#include "guest.h"

static long each;

static void *keep_signing(void *unused)
{
    for (long made = 0; made < each;) {
        number session = open_session(), key = first_key(session);
        for (int turn = 0; turn < 100 && made < each; turn++, made++)
            must("a signature", sign(session, key));
        MUST(C_CloseSession, session, 0, 0, 0, 0);
    }
    return unused;
}

static void sign_in_threads(long count)
{
    pthread_t threads[8];
    each = count / 8;
    for (int at = 0; at < 8; at++)
        pthread_create(&threads[at], NULL, keep_signing, NULL);
    for (int at = 0; at < 8; at++)
        pthread_join(threads[at], NULL);
}

static long resident(void)
{
    long size = 0, pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    must("statm", !file || fscanf(file, "%ld %ld", &size, &pages) != 2);
    fclose(file);
    return pages * sysconf(_SC_PAGESIZE) / 1024;
}

int main(int count, char **arguments)
{
    long signatures = count > 2 ? atol(arguments[2]) : 1000;
    load(arguments[1]);
    MUST(C_Initialize, 0, 0, 0, 0, 0);
    log_in();
    sign_in_threads(signatures / 20);
    long first = resident();
    sign_in_threads(signatures - signatures / 20);
    printf("%ld %ld\n", first, resident());
    MUST(C_Finalize, 0, 0, 0, 0, 0);
    return 0;
}
