//go:build !twice

package boltfile

// rehearse is on in a build with -tags twice: every closure runs once in a transaction that is rolled back, and then
// again. A closure that counts on running once fails the tests of such a build.
const rehearse = false
