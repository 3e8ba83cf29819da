package localstore_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// A transaction inside another of the same goroutine waits for itself, as soon as a third that makes the file larger
// waits between them. So a function that has a transaction calls no method of the store that opens one.
func TestNoTransactionIsOpenedInsideAnother(t *testing.T) {
	for _, dir := range []string{".", "../cloudlink/account/boltstore"} {
		names, err := filepath.Glob(filepath.Join(dir, "*.go"))
		must(t, err)
		var files []*ast.File
		set := token.NewFileSet()
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(set, name, nil, 0)
			must(t, err)
			files = append(files, f)
		}
		opens := openers(files)
		if !opens["Account"] {
			t.Fatalf("%s: the methods that open a transaction are not found: %v", dir, opens)
		}
		for _, f := range files {
			ast.Inspect(f, func(n ast.Node) bool {
				typ, body := function(n)
				if body == nil || !hasTransaction(typ) {
					return true
				}
				for called, pos := range calls(body) {
					if opens[called] {
						t.Errorf("%s: %s opens a transaction inside another", set.Position(pos), called)
					}
				}
				return true
			})
		}
	}
}

// openers returns the names of the methods of s that open a transaction, by themselves or through others.
func openers(files []*ast.File) map[string]bool {
	opens := map[string]bool{}
	for grew := true; grew; {
		grew = false
		for _, f := range files {
			for _, d := range f.Decls {
				fn, ok := d.(*ast.FuncDecl)
				if !ok || fn.Recv == nil || fn.Body == nil || opens[fn.Name.Name] || hasTransaction(fn.Type) {
					continue
				}
				direct := false
				ast.Inspect(fn.Body, func(n ast.Node) bool {
					sel, ok := n.(*ast.SelectorExpr)
					direct = direct || ok && sel.Sel.Name == "file" || ok && opens[sel.Sel.Name] && isStore(sel.X)
					return true
				})
				if direct {
					opens[fn.Name.Name], grew = true, true
				}
			}
		}
	}
	return opens
}

func function(n ast.Node) (*ast.FuncType, *ast.BlockStmt) {
	switch f := n.(type) {
	case *ast.FuncDecl:
		return f.Type, f.Body
	case *ast.FuncLit:
		return f.Type, f.Body
	}
	return nil, nil
}

// hasTransaction returns whether a function has a parameter of type *bbolt.Tx.
func hasTransaction(f *ast.FuncType) bool {
	for _, p := range f.Params.List {
		if star, ok := p.Type.(*ast.StarExpr); ok {
			if sel, ok := star.X.(*ast.SelectorExpr); ok && sel.Sel.Name == "Tx" {
				return true
			}
		}
	}
	return false
}

// calls returns the methods of s that are called in a body.
func calls(body *ast.BlockStmt) map[string]token.Pos {
	found := map[string]token.Pos{}
	ast.Inspect(body, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			if sel, ok := call.Fun.(*ast.SelectorExpr); ok && isStore(sel.X) {
				found[sel.Sel.Name] = call.Pos()
			}
		}
		return true
	})
	return found
}

func isStore(x ast.Expr) bool {
	id, ok := x.(*ast.Ident)
	return ok && id.Name == "s"
}
