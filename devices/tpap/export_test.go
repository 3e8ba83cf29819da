package tpap

// Parsed reads who a device says it is.
func Parsed(raw []byte) (mac string, ok bool) {
	mac, err := parse(raw)
	return mac, err == nil
}
