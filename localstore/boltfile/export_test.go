package boltfile

import "io"

// ReadPages checks the pages of the file at path, which are read from f.
func ReadPages(path string, f io.ReaderAt) error {
	_, err := soundPages(path, f, 1<<62)
	return err
}
