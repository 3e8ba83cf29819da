//go:build twice

package boltfile

const rehearse = true
