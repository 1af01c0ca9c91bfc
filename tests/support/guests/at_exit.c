/* A program that calls the module while it ends: at_exit MODULE [busy | late]
 *
 * OpenSSL's engine, pkcs11-provider and strongSwan close sessions from exit handlers, after the main thread's thread
 * locals are gone. This program does so with every call that may come then, from handlers that were registered before
 * and after the module was loaded and from a destructor, and ends with status 1 of its own accord. With `busy`, other
 * threads are in the middle of a signature that does not return when the exit begins; with `late`, the first handler
 * still signs and logs out.
 */
#include "guest.h"

static number session, slot;
static int late;

static void call_everything(const char *when)
{
    number codes[5] = {
        CALL(C_CloseSession, session, 0, 0, 0, 0), CALL(C_CloseAllSessions, slot, 0, 0, 0, 0),
        CALL(C_Logout, session, 0, 0, 0, 0), CALL(C_Finalize, 0, 0, 0, 0, 0), CALL(C_Finalize, 0, 0, 0, 0, 0),
    };
    printf("%s %lx %lx %lx %lx %lx\n", when, codes[0], codes[1], codes[2], codes[3], codes[4]);
    fflush(stdout);
}

static void registered_before(void) { call_everything("before"); }
static void registered_after(void)
{
    if (late) {
        must("a signature from an exit handler", sign(session, first_key(session)));
        MUST(C_Logout, session, 0, 0, 0, 0);
    }
    call_everything("after");
}

__attribute__((destructor)) static void destroy(void) { call_everything("destructor"); }

static void *keep_signing(void *unused)
{
    number own = open_session(), key = first_key(own);
    while (sign(own, key) == 0)
        ;
    return unused;
}

int main(int count, char **arguments)
{
    pthread_t thread;
    atexit(registered_before);
    load(arguments[1]);
    MUST(C_Initialize, 0, 0, 0, 0, 0);
    slot = first_slot();
    session = log_in();
    must("a signature", sign(session, first_key(session)));
    atexit(registered_after);
    late = count > 2 && strcmp(arguments[2], "late") == 0;
    for (int started = 0; count > 2 && !late && started < 3; started++)
        pthread_create(&thread, NULL, keep_signing, NULL);
    puts("ready");
    fflush(stdout);
    getchar();
    exit(1);
}
