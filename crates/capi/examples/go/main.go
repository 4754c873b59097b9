// Publishes or reads the state of a robot: go run . publish|read NAMESPACE CHANNEL TIMES
package main

import (
	"fmt"
	"log"
	"os"
	"strconv"
	"time"

	"example/tearless"
)

// The same struct as in the examples in C.
type robot struct {
	Jobs     uint64
	Position [3]float64
	Battery  int32
	Errors   uint32
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func publish(fleet *tearless.Namespace, channel string, times int) {
	writer := must(tearless.OpenWriter[robot](fleet, channel))
	state := robot{Battery: 100}
	for ; times > 0; times-- {
		state.Jobs++
		state.Position[0] = 0.5 * float64(state.Jobs)
		if err := writer.Publish(&state); err != nil {
			log.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	fmt.Printf("%d jobs\n", state.Jobs)
	if err := writer.Close(); err != nil {
		log.Fatal(err)
	}
}

func read(fleet *tearless.Namespace, channel string, times int) {
	reader := must(tearless.OpenReader[robot](fleet, channel, 10*time.Second))
	defer reader.Close()
	for times > 0 {
		if !must(reader.Wait(time.Second)) {
			continue
		}
		state, publication, ok, err := reader.Read()
		if err != nil {
			log.Fatal(err)
		}
		if ok {
			fmt.Printf("jobs=%d x=%.1f battery=%d publication=%d\n",
				state.Jobs, state.Position[0], state.Battery, publication)
			times--
		}
	}
	fmt.Println(must(reader.JSON()))
}

func main() {
	if len(os.Args) != 5 {
		log.Fatal("usage: publish|read NAMESPACE CHANNEL TIMES")
	}
	fleet := must(tearless.Open(os.Args[2]))
	defer fleet.Close()
	times := must(strconv.Atoi(os.Args[4]))
	if os.Args[1] == "publish" {
		publish(fleet, os.Args[3], times)
	} else {
		read(fleet, os.Args[3], times)
	}
}
