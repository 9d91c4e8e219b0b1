#include <stdio.h>

int main(void)
{
    puts("trueup " TRUEUP_VERSION);
    return 0;
}
