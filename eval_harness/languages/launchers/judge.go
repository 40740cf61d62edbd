// Package judge says the nonce when a program's tests came to their normal end.
package judge

import (
	"io"
	"os"
	"testing"
	"testing/internal/testdeps"
)

// Read before any package of the program is initialised, as the linker orders what main imports.
var nonce = read()

func read() []byte {
	said, _ := io.ReadAll(os.Stdin)
	return said
}

func say() {
	os.Stdout.Write(append([]byte{'\n'}, nonce...))
}

// Program runs a program that has a main of its own.
func Program(main func()) {
	main()
	say()
}

// Tests runs the functions that `go test` would run.
func Tests(tests []testing.InternalTest) {
	ended := 0
	for i := range tests {
		test := tests[i].F
		tests[i].F = func(t *testing.T) {
			test(t)
			ended++
		}
	}
	os.Args = os.Args[:1]
	code := testing.MainStart(testdeps.TestDeps{}, tests, nil, nil, nil).Run()
	// A test that was skipped, or that a flag of the program's making left out, has not ended.
	if code != 0 || ended != len(tests) {
		os.Exit(1)
	}
	say()
}
