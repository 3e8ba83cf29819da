package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf16"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// lines reads text line by line, as editors and shells of every system write it: UTF-8, or UTF-16 behind its byte order
// mark. Marks and line ends are removed. A line is read as soon as it is there: a pipe may stay open.
type lines struct {
	r     *bufio.Reader
	order binary.ByteOrder // of UTF-16; nil for UTF-8
	n     int              // number of the last line
}

func newLines(r io.Reader) *lines { return &lines{r: bufio.NewReader(r)} }

// next returns the next line, or io.EOF after the last.
func (l *lines) next() (string, error) {
	if l.n == 0 {
		l.readMark()
	}
	l.n++
	read := l.utf8Line
	if l.order != nil {
		read = l.utf16Line
	}
	line, err := read()
	if errors.Is(err, io.EOF) && line != "" {
		err = nil
	}
	return strings.TrimRight(line, "\r\n"), err
}

func (l *lines) utf8Line() (string, error) { return l.r.ReadString('\n') }

// utf16Line reads one line of a file of UTF-16, as editors on Windows write it.
func (l *lines) utf16Line() (string, error) {
	var units []uint16
	for {
		var pair [2]byte
		if _, err := io.ReadFull(l.r, pair[:]); err != nil {
			return string(utf16.Decode(units)), err
		}
		unit := l.order.Uint16(pair[:])
		if units = append(units, unit); unit == '\n' {
			return string(utf16.Decode(units)), nil
		}
	}
}

// readMark removes the byte order mark at the beginning. It reads no further than it must.
func (l *lines) readMark() {
	for _, m := range []struct {
		mark  string
		order binary.ByteOrder
	}{{"\xef\xbb\xbf", nil}, {"\xff\xfe", binary.LittleEndian}, {"\xfe\xff", binary.BigEndian}} {
		if first, _ := l.r.Peek(1); len(first) == 0 || first[0] != m.mark[0] {
			continue
		}
		if begin, _ := l.r.Peek(len(m.mark)); string(begin) == m.mark {
			_, _ = l.r.Discard(len(m.mark))
			l.order = m.order
		}
		return
	}
}

// lineError is a password that cannot be one of the account. It does not quote it.
type lineError struct {
	line int
	err  error
}

func (e lineError) Error() string {
	return fmt.Sprintf("line %d: the password cannot be one of the account: %v", e.line, e.err)
}

// password returns the next line that is not empty as a password of the account. What no device can hold is a
// lineError. io.EOF comes after the last.
func (l *lines) password() (home.Secret, error) { return l.secret(home.CheckPassword) }

// secret returns the next line that is not empty, without outer blanks: neither the account's rule nor a pairing word
// allows any.
func (l *lines) secret(check func(home.Secret) error) (home.Secret, error) {
	outer := func(r rune) bool { return unicode.IsSpace(r) || r == '\ufeff' || r == '\u200b' }
	for {
		line, err := l.next()
		if err != nil {
			return home.Secret{}, err
		}
		if line = strings.TrimFunc(line, outer); line == "" {
			continue
		}
		p := home.NewSecret(line)
		if err := check(p); err != nil {
			return home.Secret{}, lineError{l.n, err}
		}
		return p, nil
	}
}
