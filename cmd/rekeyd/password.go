package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/terminal"
	"github.com/rekeyd/rekeyd/daemon/home"
)

// maxPassword is the longest line that is read as a password, in bytes.
const maxPassword = 1024

// addPasswordFlag gives a command --password-stdin. There is no flag for the password itself: other users could see it.
func addPasswordFlag(c *cobra.Command) {
	c.Flags().Bool("password-stdin", false, "read the password from the first line of standard input")
}

// interruptible is standard input that an interrupt ends: signals do not end this program by themselves.
type interruptible struct {
	ctx context.Context // of the command
	r   io.Reader
}

// input returns the standard input of a command.
func input(c *cobra.Command) io.Reader { return interruptible{c.Context(), c.InOrStdin()} }

// Read returns the context's error after an interrupt. Its goroutine then stays in its read until the program has
// ended.
func (i interruptible) Read(p []byte) (int, error) {
	type result struct {
		read []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		own := make([]byte, len(p)) // p belongs to the caller again after an interrupt
		n, err := i.r.Read(own)
		done <- result{own[:n], err}
	}()
	select {
	case got := <-done:
		return copy(p, got.read), got.err
	case <-i.ctx.Done():
		return 0, context.Cause(i.ctx)
	}
}

// readPassword asks for a password of the account on the terminal, without echo, or takes the first line of standard
// input. One that no device can hold is refused.
func readPassword(c *cobra.Command, prompt string, twice bool) (home.Secret, error) {
	return readSecret(c, prompt, twice, home.CheckPassword)
}

// readPasswordAndCode reads a password and the code of a second factor from standard input, a line each.
func readPasswordAndCode(c *cobra.Command) (password home.Secret, code string, err error) {
	l := newLines(io.LimitReader(input(c), 2*maxPassword))
	if password, err = l.secret(home.CheckPassword); err == nil {
		code, err = l.next()
	}
	if errors.Is(err, io.EOF) || err == nil && strings.TrimSpace(code) == "" {
		err = errors.New("want on standard input the password, and then the code, a line each")
	}
	if err != nil {
		return home.Secret{}, "", terminal.Usage(c, err)
	}
	return password, strings.TrimSpace(code), nil
}

// readPairing is readPassword for a pairing word.
func readPairing(c *cobra.Command, prompt string) (home.Secret, error) {
	return readSecret(c, prompt, false, func(home.Secret) error { return nil })
}

// readSecret reads a secret from standard input with --password-stdin, else from the terminal without an echo, and
// twice where a typing error would lock the owner out. check decides before the second prompt.
func readSecret(c *cobra.Command, prompt string, twice bool, check func(home.Secret) error) (home.Secret, error) {
	if stdin, _ := c.Flags().GetBool("password-stdin"); stdin {
		p, err := newLines(io.LimitReader(input(c), maxPassword)).secret(check)
		if errors.Is(err, io.EOF) {
			err = errors.New("no password on standard input")
		}
		if err != nil {
			return home.Secret{}, terminal.Usage(c, err)
		}
		return p, nil
	}
	f, ok := c.InOrStdin().(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return home.Secret{}, terminal.Usage(
			c, errors.New("standard input is no terminal: give the password with --password-stdin"),
		)
	}
	first, err := askPassword(c, f, prompt)
	if err != nil {
		return first, err
	}
	if err := check(first); err != nil {
		return home.Secret{}, &home.Error{Op: "read the password", Err: err, Hint: "type one of your account"}
	}
	if !twice {
		return first, nil
	}
	again, err := askPassword(c, f, prompt+", again")
	if err == nil && !first.Equal(again) {
		err = &home.Error{Op: "read the password", Err: errors.New("the two differ"), Hint: "type the same password twice"}
	}
	return first, err
}

var errNothing = errors.New("nothing was typed")

// askYes asks a question on the terminal; anything but "y" or "yes" is no. ok is false where there is no terminal to
// ask on.
func askYes(c *cobra.Command, question string) (yes, ok bool) {
	line, ok := askLine(c, question+" [y/N]")
	line = strings.ToLower(line)
	return line == "y" || line == "yes", ok
}

// confirm asks a question that a script answers with --yes.
func confirm(c *cobra.Command, question string) (yes bool, err error) {
	yes, asked := askYes(c, question)
	switch {
	case c.Context().Err() != nil:
		return false, context.Cause(c.Context())
	case !asked:
		return false, terminal.Usage(c, errors.New("standard input is no terminal: add --yes"))
	}
	return yes, nil
}

// askLine reads a line on the terminal, which shows it. ok is false where there is none, and after an interrupt.
func askLine(c *cobra.Command, prompt string) (line string, ok bool) {
	f, file := c.InOrStdin().(*os.File)
	if !file || !term.IsTerminal(int(f.Fd())) {
		return "", false
	}
	fmt.Fprintf(c.ErrOrStderr(), "%s: ", strings.TrimSuffix(prompt, ":"))
	typed := make(chan string, 1)
	go func() { // after an interrupt it stays in its read until the program has ended
		line, _ := bufio.NewReader(io.LimitReader(f, maxPassword)).ReadString('\n')
		typed <- strings.TrimSpace(line)
	}()
	select {
	case line := <-typed:
		return line, true
	case <-c.Context().Done():
		fmt.Fprintln(c.ErrOrStderr())
		return "", false
	}
}

// askPassword reads a line that the terminal does not show. An interrupt ends it, with the terminal as it was before:
// signals do not end this program by themselves.
func askPassword(c *cobra.Command, f *os.File, prompt string) (home.Secret, error) {
	fd := int(f.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return home.Secret{}, fmt.Errorf("read the password: %w", err)
	}
	fmt.Fprintf(c.ErrOrStderr(), "%s: ", prompt)
	type line struct {
		raw []byte
		err error
	}
	typed := make(chan line, 1)
	go func() { // after an interrupt it stays in its read, which nothing can end, until the program has ended
		raw, err := term.ReadPassword(fd)
		typed <- line{raw, err}
	}()
	select {
	case l := <-typed:
		fmt.Fprintln(c.ErrOrStderr())
		if l.err != nil {
			return home.Secret{}, fmt.Errorf("read the password: %w", l.err)
		}
		if len(l.raw) == 0 {
			return home.Secret{}, &home.Error{Op: "read the password", Err: errNothing, Hint: "type the password, then Enter"}
		}
		return home.SecretBytes(l.raw), nil
	case <-c.Context().Done():
		_ = term.Restore(fd, before)
		fmt.Fprintln(c.ErrOrStderr())
		return home.Secret{}, fmt.Errorf("read the password: %w", context.Cause(c.Context()))
	}
}
