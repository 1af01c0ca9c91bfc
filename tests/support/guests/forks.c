/* A program that forks while its threads sign: forks MODULE CHILDREN
 *
 * PKCS#11 v2.40, section 5.4: a child has to call C_Initialize itself. Before that each call of a child is refused,
 * with the parent's handles too; after it the child signs over connections of its own, whatever locks the parent's
 * threads held at the moment of the fork. The parent notices nothing. Prints one line for each child, then the
 * parent's count of signatures and of failures.
 */
#include "guest.h"

static volatile int stop;
static long made[4], failed[4];

static void *keep_signing(void *argument)
{
    long *count = argument, at = count - made;
    number session = open_session(), key = first_key(session);
    while (!stop)
        ++*(sign(session, key) == 0 ? &made[at] : &failed[at]);
    return NULL;
}

static int child(number session, number key)
{
    alarm(30);
    number refused = sign(session, key), closed = CALL(C_CloseSession, session, 0, 0, 0, 0);
    number initialized = CALL(C_Initialize, 0, 0, 0, 0, 0);
    number own = log_in();
    number answer = sign(own, first_key(own));
    printf("child %lx %lx %lx %lx %lx\n", refused, closed, initialized, answer, CALL(C_Finalize, 0, 0, 0, 0, 0));
    fflush(stdout);
    _exit(0);
}

int main(int count, char **arguments)
{
    pthread_t threads[4];
    int children = count > 2 ? atoi(arguments[2]) : 1, status;
    load(arguments[1]);
    MUST(C_Initialize, 0, 0, 0, 0, 0);
    number session = log_in(), key = first_key(session);
    for (int at = 0; at < 4; at++)
        pthread_create(&threads[at], NULL, keep_signing, &made[at]);
    for (int at = 0; at < children; at++) {
        usleep(20000);
        pid_t pid = fork();
        if (pid == 0)
            child(session, key);
        waitpid(pid, &status, 0);
        must("a child", status);
    }
    stop = 1;
    for (int at = 0; at < 4; at++)
        pthread_join(threads[at], NULL);
    must("a signature after the forks", sign(session, key));
    printf("parent %ld %ld\n", made[0] + made[1] + made[2] + made[3], failed[0] + failed[1] + failed[2] + failed[3]);
    MUST(C_Finalize, 0, 0, 0, 0, 0);
    return 0;
}
