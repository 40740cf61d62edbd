/* Linked into a program, with `--wrap=main`: says the nonce when `main` returns 0. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <fcntl.h>
#include <stdio.h>

int __real_main(int argc, char **argv, char **envp);

static char nonce[64];

/* Before any constructor of the program, since those of the launcher come first in this table. */
static void begin(int argc, char **argv, char **envp) {
  (void)argc, (void)argv, (void)envp;
  size_t length = 0;
  ssize_t got;
  while (length < sizeof nonce - 1 &&
         (got = read(0, nonce + length, sizeof nonce - 1 - length)) > 0)
    length += (size_t)got;
  for (size_t i = 0; i < length; i++) nonce[i] ^= 0x5a;
  int nothing = open("/dev/null", O_RDONLY);
  if (nothing >= 0) dup2(nothing, 0), close(nothing);
}
__attribute__((section(".preinit_array"), used)) static void (*const first)(int, char **, char **) =
    begin;

int __wrap_main(int argc, char **argv, char **envp) {
  int code = __real_main(argc, argv, envp);
  fflush(NULL);
  if (code != 0) _exit(code & 0xff ? code : 1);
  char said[sizeof nonce + 2];
  size_t length = strlen(nonce);
  said[0] = '\n';
  for (size_t i = 0; i < length; i++) said[i + 1] = (char)(nonce[i] ^ 0x5a);
  if (write(1, said, length + 1) < 0) return 1;
  return 0;
}
