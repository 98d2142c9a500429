/* An SGI from vCPU 0 to vCPU 1 and one back, four times, each side asleep in WFI while it waits. A lone vCPU sends to itself. */
#include "payload.h"

#define ROUNDS 4
#define REQUEST 3
#define ACKNOWLEDGEMENT 4

static struct { volatile u32 requests, acknowledgements; char page[4088]; } received[VCPUS_MAX] __attribute__((section(".percpu"), aligned(4096)));

void on_irq(void)
{
  u32 intid = acknowledge(), me = my_index();
  if (intid == SPURIOUS) return;
  if (intid == REQUEST) received[me].requests++;
  else if (intid == ACKNOWLEDGEMENT) received[me].acknowledgements++;
  else done("another interrupt than the two SGIs");
  end_of_interrupt(intid);
}

const char *payload(u32 index, u32 count)
{
  u32 responder = count > 1;
  gic_on(0);
  for (u32 round = 1; round <= ROUNDS; round++) {
    if (index == 0) {
      marker(round);
      send_sgi(responder, REQUEST);
    }
    if (index == responder) {
      WAIT_FOR(received[index].requests >= round);
      send_sgi(0, ACKNOWLEDGEMENT);
    }
    if (index == 0) WAIT_FOR(received[0].acknowledgements >= round);
  }
  if (index <= 1 && received[index].requests != (index == responder ? ROUNDS : 0)) return "requests and rounds differ";
  if (index == 0) print("virtual-ipi: 4 rounds");
  return 0;
}
