const ws = new WebSocket('ws://localhost:9090');

ws.onopen = () => {
  // Subscribe to performance metrics
  ws.send(JSON.stringify({
    type: 'subscribe',
    data: { streams: ['performance_metrics', 'flow_executions'] }
  }));
};

ws.onmessage = (event) => {
  const message = JSON.parse(event.data);
  console.log('Received:', message);
};
