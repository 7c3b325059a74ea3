/* A program that ends at once: what the row `spawn` of `run-micro` starts. */
int main(void) { return 0; }
