package main

import (
	"math/rand/v2"
	"strings"
)

// vocabulary are the words that headlines are padded with.
var vocabulary = strings.Fields(`
	about after again airport all also among another are arrival as at because been before
	between board boarding but by call carrier change city close crew day delayed departure
	desk down each early evening every few first flight for from gate has have here hour in
	into is it just landed last late leaving less made many minutes morning most near new
	next no north not now number of on one only open or other out over passengers people
	please point ready right second service seven she since so some south still taxi ten
	terminal than that the their then there these they this three through time to today
	tomorrow under until up was weather week were west when where which while will with
	without would year`)

// padded returns text with words after it, size bytes in all; text alone when it
// is not shorter. The words compress as prose does. Which they are depends on seed
// alone.
func padded(text string, size int, seed uint64) string {
	if len(text) >= size {
		return text
	}
	words := rand.New(rand.NewPCG(seed, 0))
	b := []byte(text)
	for len(b) < size {
		b = append(append(b, ' '), vocabulary[words.IntN(len(vocabulary))]...)
	}
	b[size-1] = '.' // and no space, which a server may cut off
	return string(b[:size])
}
