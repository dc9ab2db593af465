"""A minimal firmware over the simulator, for its share of the heap (tests/bench_resources.py): it uses what the real one uses and keeps nothing."""

import select
import socket
import time

import esp32
import machine
import network

ADDRESS = 0x38
SENSED, SAMPLES_OF_A_SECOND = 35, 100

contactor = machine.Pin(25, machine.Pin.OUT, value=0)
bus = machine.I2C(0, scl=machine.Pin(22), sda=machine.Pin(21), freq=400_000, timeout=2_000)
thermometer = machine.ADC(machine.Pin(32), atten=machine.ADC.ATTN_11DB)
partition = esp32.Partition.find(esp32.Partition.TYPE_DATA, label="journal")[0]
watchdog = machine.WDT(timeout=3_000)
inputs = [machine.Pin(number, machine.Pin.IN) for number in (34, 35, 36, 27, 39)]
inputs[0].irq(lambda pin: None, machine.Pin.IRQ_FALLING)
nvs = esp32.NVS("sampler")
nvs.set_blob("key", bytes(32))
nvs.commit()
wlan = network.WLAN(network.STA_IF)
wlan.active(True)
wlan.connect("simulated", "simulated")
poller = select.poll()
listener = socket.socket()
poller.register(listener, select.POLLIN)
page = bytearray(256)
partition.ioctl(6, 0)
partition.writeblocks(0, page, 0)
time.sleep_ms(200)
for register, value in ((0x102, b"\x01\x04"), (0x007, b"\x00"), (0x008, b"\x04"), (0x004, b"\x00")):
    bus.writeto_mem(ADDRESS, register, value, addrsize=16)
contactor.value(1)
print("sampler: ready")  # noqa: T201
count = 0
while True:
    for register in (0x31A, 0x31C, 0x31E, 0x312):
        bus.readfrom_mem(ADDRESS, register, 4, addrsize=16)
    if count % SAMPLES_OF_A_SECOND == 0:
        thermometer.read_uv()
        partition.readblocks(0, page, 0)
    for pin in inputs:
        pin.value()
    watchdog.feed()
    poller.poll(0)
    count += 1
    time.sleep_ms(10)
