package tpap

// ParsePlate reads the answer of a device: its key, and whether it is one.
func ParsePlate(raw []byte) (key string, ok bool) {
	p, err := parsePlate(raw)
	if err != nil {
		return "", false
	}
	return p.Keys[0], true
}
