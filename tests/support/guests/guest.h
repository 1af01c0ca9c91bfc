/* What the guest programs share: loading a module as C programs do, and calling it by name.
 *
 * Always true: the module's path is argv[1], the PIN comes on standard input, and the configuration is found by the
 * module itself. A call that has to succeed and does not ends the program with status 70.
 */
#ifndef GUEST_H
#define GUEST_H

#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

typedef unsigned long number;

/* Places in CK_FUNCTION_LIST (PKCS#11 v2.40). */
enum {
    C_Initialize = 0, C_Finalize = 1, C_GetSlotList = 4, C_OpenSession = 12, C_CloseSession = 13,
    C_CloseAllSessions = 14, C_Login = 18, C_Logout = 19, C_FindObjectsInit = 26, C_FindObjects = 27,
    C_FindObjectsFinal = 28, C_SignInit = 42, C_Sign = 43, C_GenerateRandom = 64, FUNCTIONS = 68
};

struct function_list { unsigned char version[2]; void *functions[FUNCTIONS]; };
struct attribute { number type; void *value; number length; };
struct mechanism { number mechanism; void *parameter; number length; };

static struct function_list *module;
static char pin[130];

/* Arguments are pointers and numbers, all eight bytes wide. */
#define ARGUMENT(value) ((number)(value))
#define CALL(name, a, b, c, d, e) \
    (((number (*)(number, number, number, number, number))module->functions[name])( \
        ARGUMENT(a), ARGUMENT(b), ARGUMENT(c), ARGUMENT(d), ARGUMENT(e)))
#define MUST(name, a, b, c, d, e) must(#name, CALL(name, a, b, c, d, e))

static inline void must(const char *name, number answer)
{
    if (answer != 0) {
        fprintf(stderr, "%s: %#lx\n", name, answer);
        _exit(70);
    }
}

static inline void load(const char *path)
{
    void *library = dlopen(path, RTLD_NOW);
    number (*get)(struct function_list **) = library ? dlsym(library, "C_GetFunctionList") : NULL;
    must("C_GetFunctionList", get ? get(&module) : 1);
    if (!fgets(pin, sizeof pin, stdin))
        _exit(71);
    pin[strcspn(pin, "\n")] = 0;
}

static inline number first_slot(void)
{
    number slots[16] = {0}, count = 16;
    MUST(C_GetSlotList, 1, slots, &count, 0, 0);
    must("a slot", count == 0);
    return slots[0];
}

static inline number open_session(void)
{
    number session = 0;
    MUST(C_OpenSession, first_slot(), 4, 0, 0, &session);
    return session;
}

static inline number log_in(void)
{
    number session = open_session();
    MUST(C_Login, session, 1, pin, strlen(pin), 0);
    return session;
}

/* The first private key of the token. */
static inline number first_key(number session)
{
    number class = 3, key = 0, count = 0;
    struct attribute wanted = {0, &class, sizeof class};
    MUST(C_FindObjectsInit, session, &wanted, 1, 0, 0);
    MUST(C_FindObjects, session, &key, 1, &count, 0);
    MUST(C_FindObjectsFinal, session, 0, 0, 0, 0);
    must("a key", count != 1);
    return key;
}

/* One ECDSA signature over 32 bytes; CKR_OK or what refused. */
static inline number sign(number session, number key)
{
    struct mechanism ecdsa = {0x1041, NULL, 0};
    unsigned char digest[32] = {1, 2, 3}, signature[144];
    number length = sizeof signature;
    number answer = CALL(C_SignInit, session, &ecdsa, key, 0, 0);
    return answer ? answer : CALL(C_Sign, session, digest, sizeof digest, signature, &length);
}

#endif
