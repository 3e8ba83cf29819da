package boltfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
)

// The file as bbolt 1.x writes it, in the machine's byte order. bbolt follows what is written there by address,
// without a look at its bounds: one damaged number ends the process with a signal that nothing can catch. So the
// pages are read here first, as bytes of a file.
//
//	page     id uint64, flags uint16, count uint16, overflow uint32; then count elements; then what they point to
//	branch   element: at uint32 (from its own start), key size uint32, child page uint64
//	leaf     element: flags uint32, at uint32, key size uint32, value size uint32; the value of flag 1 is a bucket
//	bucket   root page uint64, sequence uint64; where the root is 0, one leaf page follows in the value itself
//	meta     magic, version, page size, flags uint32; root page, sequence, free list, number of pages, transaction
//	         and checksum (FNV-1a of what is before) uint64
const (
	pageHead    = 16
	elementSize = 16
	metaSize    = 64
	metaMagic   = 0xED0CDAED
	metaVersion = 2

	flagBranch   = 1
	flagLeaf     = 2
	flagMeta     = 4
	flagFreelist = 16
	noFreelist   = 1<<64 - 1

	maxDepth = 64 // far more than any tree that fits on a disk
)

var order = binary.NativeEndian

// meta is the content of the newest valid meta page.
type meta struct {
	pageSize               int64
	root, free, pages, txn uint64
	spare                  bool // the other meta page is valid, too
}

// bytes is how long the file must be.
func (m meta) bytes() int64 { return int64(m.pages) * m.pageSize }

// readMeta returns the newest valid meta page, from which bbolt starts, too.
func readMeta(f io.ReaderAt) (newest meta, err error) {
	found, damaged := 0, errors.New("its first two pages are damaged")
	// The second meta page is on page 1; where the first is damaged, its size is not known.
	for at := int64(0); at <= 1<<24; at = max(at*2, 1<<10) {
		b := make([]byte, pageHead+metaSize)
		if _, err := f.ReadAt(b, at); errors.Is(err, io.EOF) {
			continue
		} else if err != nil {
			return meta{}, err
		}
		id, flags, b := order.Uint64(b), order.Uint16(b[8:]), b[pageHead:]
		h := fnv.New64a()
		_, _ = h.Write(b[:56])
		m := meta{
			pageSize: int64(order.Uint32(b[8:])),
			root:     order.Uint64(b[16:]),
			free:     order.Uint64(b[32:]),
			pages:    order.Uint64(b[40:]),
			txn:      order.Uint64(b[48:]),
		}
		switch {
		case order.Uint32(b) != metaMagic || order.Uint32(b[4:]) != metaVersion || order.Uint64(b[56:]) != h.Sum64():
			continue
		case m.pageSize < 1<<10 || m.pageSize&(m.pageSize-1) != 0 || (at != 0 && at != m.pageSize) || m.pages > 1<<40:
			continue
		case id != uint64(at/m.pageSize) || flags != flagMeta: // never of a crash: page and meta are in one sector
			return meta{}, damaged
		}
		if found++; found == 1 || m.txn > newest.txn {
			newest = m
		}
	}
	if found == 0 {
		return meta{}, damaged
	}
	newest.spare = found > 1
	return newest, nil
}

// walker reads every page that can be reached.
type walker struct {
	f    io.ReaderAt
	meta meta
	seen []bool // by page
	used int64  // pages
}

// walkPages returns how many of the file's pages are in use, or what is wrong with them.
func walkPages(f io.ReaderAt, m meta) (used int64, err error) {
	w := &walker{f: f, meta: m, seen: make([]bool, m.pages), used: 2}
	if m.pages < 3 {
		return 0, errors.New("it has no root page")
	}
	w.seen[0], w.seen[1] = true, true
	if m.free != noFreelist {
		if err := w.freelist(m.free); err != nil {
			return 0, fmt.Errorf("free list: %w", err)
		}
	}
	return w.used, w.tree(m.root, nil, nil, 0)
}

// page reads page id with its overflow, once.
func (w *walker) page(id uint64) ([]byte, error) {
	if id < 2 || id >= w.meta.pages {
		return nil, fmt.Errorf("page %d of %d", id, w.meta.pages)
	}
	head := make([]byte, pageHead)
	if _, err := w.f.ReadAt(head, int64(id)*w.meta.pageSize); err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	n := uint64(order.Uint32(head[12:])) + 1
	if order.Uint64(head) != id || id+n > w.meta.pages {
		return nil, fmt.Errorf("page %d is damaged", id)
	}
	for i := id; i < id+n; i++ {
		if w.seen[i] {
			return nil, fmt.Errorf("page %d is used twice", i)
		}
		w.seen[i] = true
	}
	w.used += int64(n)
	p := make([]byte, int64(n)*w.meta.pageSize)
	if _, err := w.f.ReadAt(p, int64(id)*w.meta.pageSize); err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	return p, nil
}

func (w *walker) freelist(id uint64) error {
	p, err := w.page(id)
	if err != nil {
		return err
	}
	n, at := uint64(order.Uint16(p[10:])), uint64(pageHead)
	if n == 0xFFFF {
		n, at = order.Uint64(p[at:]), at+8
	}
	if order.Uint16(p[8:]) != flagFreelist || n > (uint64(len(p))-at)/8 {
		return fmt.Errorf("page %d is damaged", id)
	}
	for i := range n {
		if free := order.Uint64(p[at+8*i:]); free < 2 || free >= w.meta.pages {
			return fmt.Errorf("page %d of %d", free, w.meta.pages)
		}
	}
	return nil
}

// tree checks the pages of one bucket: its keys ascend, and lie in [from, to), the first of them at from; nil is no
// bound.
func (w *walker) tree(id uint64, from, to []byte, depth int) error {
	p, err := w.page(id)
	if err != nil {
		return err
	}
	return w.elements(id, p, from, to, depth)
}

func (w *walker) elements(id uint64, p, from, to []byte, depth int) error {
	flags, count := order.Uint16(p[8:]), int(order.Uint16(p[10:]))
	damaged := fmt.Errorf("page %d is damaged", id)
	if (flags != flagBranch && flags != flagLeaf) || pageHead+count*elementSize > len(p) ||
		(flags == flagBranch && count == 0) ||
		depth > maxDepth {
		return damaged
	}
	keys := make([][]byte, count+1)
	keys[count] = to
	last, end := from, uint64(pageHead+count*elementSize)
	for i := range count {
		at := pageHead + i*elementSize
		e := p[at : at+elementSize]
		pos, klen, vlen := uint64(order.Uint32(e)), uint64(order.Uint32(e[4:])), uint64(0)
		if flags == flagLeaf {
			pos, klen, vlen = uint64(order.Uint32(e[4:])), uint64(order.Uint32(e[8:])), uint64(order.Uint32(e[12:]))
		}
		start := uint64(at) + pos
		// bbolt leaves no gaps: so neither a number of elements nor a length can be another one than was written.
		if start != end || klen == 0 || start+klen+vlen > uint64(len(p)) {
			return damaged
		}
		end = start + klen + vlen
		key, value := p[start:start+klen], p[start+klen:start+klen+vlen]
		switch c := bytes.Compare(key, last); {
		case last != nil && (c < 0 || (c == 0 && i > 0)), i == 0 && from != nil && c != 0,
			to != nil && bytes.Compare(key, to) >= 0:
			return fmt.Errorf("page %d: keys are out of order", id)
		}
		keys[i], last = key, key
		if flags == flagLeaf && order.Uint32(e)&1 != 0 {
			if err := w.bucket(id, value, depth+1); err != nil {
				return err
			}
		}
	}
	if uint64(len(p))-end >= uint64(w.meta.pageSize) {
		return damaged // a page has no more overflow than its elements need
	}
	if flags == flagLeaf {
		return nil
	}
	for i := range count {
		child := order.Uint64(p[pageHead+i*elementSize+8:])
		if err := w.tree(child, keys[i], keys[i+1], depth+1); err != nil {
			return err
		}
	}
	return nil
}

// bucket checks the bucket that a leaf's value holds or points to.
func (w *walker) bucket(id uint64, value []byte, depth int) error {
	if len(value) < 16 {
		return fmt.Errorf("page %d is damaged", id)
	}
	if root := order.Uint64(value); root != 0 {
		return w.tree(root, nil, nil, depth)
	}
	inline := value[16:]
	if len(inline) < pageHead || order.Uint16(inline[8:]) != flagLeaf {
		return fmt.Errorf("page %d is damaged", id)
	}
	return w.elements(id, inline, nil, nil, depth)
}
