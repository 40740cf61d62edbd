// Package assert has those functions of github.com/stretchr/testify/assert by which benchmarks
// compare, without what else that package brings: most of the time of linking a test.
package assert

import (
	"bytes"
	"math"
	"reflect"
)

// TestingT is what reports a failure.
type TestingT interface {
	Errorf(format string, arguments ...interface{})
}

// Assertions are the functions for one test.
type Assertions struct{ t TestingT }

// New returns the functions for one test.
func New(t TestingT) *Assertions { return &Assertions{t} }

func areEqual(expected, actual interface{}) bool {
	if expected == nil || actual == nil {
		return expected == actual
	}
	wanted, isBytes := expected.([]byte)
	if !isBytes {
		return reflect.DeepEqual(expected, actual)
	}
	got, isBytes := actual.([]byte)
	if !isBytes {
		return false
	}
	if wanted == nil || got == nil {
		return wanted == nil && got == nil
	}
	return bytes.Equal(wanted, got)
}

func isNil(value interface{}) bool {
	if value == nil {
		return true
	}
	switch of := reflect.ValueOf(value); of.Kind() {
	case reflect.Chan, reflect.Func, reflect.Interface, reflect.Map, reflect.Ptr, reflect.Slice, reflect.UnsafePointer:
		return of.IsNil()
	}
	return false
}

func verdict(t TestingT, isRight bool, what string, values ...interface{}) bool {
	if !isRight {
		t.Errorf("%s: %#v", what, values)
	}
	return isRight
}

// Equal fails unless both are equal, types included.
func Equal(t TestingT, expected, actual interface{}, _ ...interface{}) bool {
	return verdict(t, areEqual(expected, actual), "not equal", expected, actual)
}

// NotEqual fails if both are equal, types included.
func NotEqual(t TestingT, expected, actual interface{}, _ ...interface{}) bool {
	return verdict(t, !areEqual(expected, actual), "equal", expected, actual)
}

// True fails unless the value is true.
func True(t TestingT, value bool, _ ...interface{}) bool {
	return verdict(t, value, "not true", value)
}

// False fails unless the value is false.
func False(t TestingT, value bool, _ ...interface{}) bool {
	return verdict(t, !value, "not false", value)
}

// Nil fails unless the value is nil.
func Nil(t TestingT, value interface{}, _ ...interface{}) bool {
	return verdict(t, isNil(value), "not nil", value)
}

// NotNil fails if the value is nil.
func NotNil(t TestingT, value interface{}, _ ...interface{}) bool {
	return verdict(t, !isNil(value), "nil", value)
}

// NoError fails unless the error is nil.
func NoError(t TestingT, err error, _ ...interface{}) bool {
	return verdict(t, err == nil, "error", err)
}

// Error fails if the error is nil.
func Error(t TestingT, err error, _ ...interface{}) bool {
	return verdict(t, err != nil, "no error")
}

// InDelta fails unless two numbers are at most `delta` apart.
func InDelta(t TestingT, expected, actual interface{}, delta float64, _ ...interface{}) bool {
	number := reflect.TypeOf(delta)
	wanted, got := reflect.ValueOf(expected), reflect.ValueOf(actual)
	if !wanted.CanConvert(number) || !got.CanConvert(number) {
		return verdict(t, false, "not numbers", expected, actual)
	}
	apart := math.Abs(wanted.Convert(number).Float() - got.Convert(number).Float())
	return verdict(t, apart <= delta, "too far apart", expected, actual)
}

// Equal fails unless both are equal, types included.
func (a *Assertions) Equal(expected, actual interface{}, _ ...interface{}) bool {
	return Equal(a.t, expected, actual)
}

// NotEqual fails if both are equal, types included.
func (a *Assertions) NotEqual(expected, actual interface{}, _ ...interface{}) bool {
	return NotEqual(a.t, expected, actual)
}

// True fails unless the value is true.
func (a *Assertions) True(value bool, _ ...interface{}) bool { return True(a.t, value) }

// False fails unless the value is false.
func (a *Assertions) False(value bool, _ ...interface{}) bool { return False(a.t, value) }

// Nil fails unless the value is nil.
func (a *Assertions) Nil(value interface{}, _ ...interface{}) bool { return Nil(a.t, value) }

// NotNil fails if the value is nil.
func (a *Assertions) NotNil(value interface{}, _ ...interface{}) bool { return NotNil(a.t, value) }

// NoError fails unless the error is nil.
func (a *Assertions) NoError(err error, _ ...interface{}) bool { return NoError(a.t, err) }

// Error fails if the error is nil.
func (a *Assertions) Error(err error, _ ...interface{}) bool { return Error(a.t, err) }

// InDelta fails unless two numbers are at most `delta` apart.
func (a *Assertions) InDelta(expected, actual interface{}, delta float64, _ ...interface{}) bool {
	return InDelta(a.t, expected, actual, delta)
}
