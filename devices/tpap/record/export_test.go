package record

// Derived returns the key and the base nonce of a session.
func Derived(shared []byte) (key, iv []byte) {
	return derive(shared, "key", 16), derive(shared, "iv", nonce)
}
