package localstore_test

const writerEnv = "LOCALSTORE_TEST_WRITER"

func write(string) int { return 0 }
