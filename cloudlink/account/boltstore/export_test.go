package boltstore

// Format is the format that Open brings a file to.
func Format() int { return len(migrations) }
